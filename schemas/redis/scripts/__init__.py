"""The Lua steps. Each is atomic and safe to run twice."""

from importlib.resources import files

_INCLUDE = "--!include "


def source(name: str) -> str:
    """Text of a script with its includes in place; the shebang line stays first."""
    lines = []
    for line in (files(__name__) / f"{name}.lua").read_text().splitlines():
        included = line.removeprefix(_INCLUDE)
        lines.append(source(included) if included != line else line)
    return "\n".join(lines)
