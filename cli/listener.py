"""Supervisor's event listener: says which role died, and stops everything if one stays down."""

import os
import signal
import sys

from supervisor import childutils

EVENTS = ("PROCESS_STATE_EXITED", "PROCESS_STATE_BACKOFF", "PROCESS_STATE_FATAL")


def message(event: str, role: str) -> str:
    """Return the line for the operator."""
    if event == "PROCESS_STATE_FATAL":
        return f"{role} does not stay up (its last lines say why); stopping everything"
    if event == "PROCESS_STATE_BACKOFF":
        return f"{role} ended soon after its start; trying again"
    return f"{role} died; starting it again"


def main() -> None:
    """Answer supervisor's events on standard input until it closes."""
    supervisor = os.getppid()
    while True:
        headers, payload = childutils.listener.wait()
        role = childutils.get_headers(payload)["processname"]
        event = headers["eventname"]
        print(f"plate-detect: {message(event, role)}", file=sys.stderr, flush=True)
        if event == "PROCESS_STATE_FATAL":
            os.kill(supervisor, signal.SIGTERM)
        childutils.listener.ok()


if __name__ == "__main__":
    main()
