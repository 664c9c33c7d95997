"""Variables of a cloud's own tools, which say how to reach a bucket."""

import os

from schemas.settings.sources import read_env_file


def set_variables(prefix: str) -> dict[str, str]:
    """Return the variables of the environment and of `.env` that begin with a prefix, by name.

    Empty ones are unset, since the client would use them as values.
    """
    for name in [name for name, text in os.environ.items() if not text.strip()]:
        if name.startswith(prefix):
            del os.environ[name]
    file = {name: found.value for name, found in read_env_file().items() if found.value}
    return {name: text for name, text in (file | os.environ).items() if name.startswith(prefix)}
