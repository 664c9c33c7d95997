"""Names of the members of consumer groups."""

import os
import secrets
import socket


def consumer_name() -> str:
    """New at each start: a restarted process must not inherit entries it knows nothing of."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
