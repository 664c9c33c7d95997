"""The users of Redis that the README tells operators to make."""

import re
from pathlib import Path

USER, PASSWORD = "plates", "secret"
_README = Path(__file__).resolve().parents[2] / "README.md"


def documented_rules() -> dict[str, list[str]]:
    """Name and rule of each user, the rule as redis.conf has it: the name, then words."""
    text = _README.read_text(encoding="utf-8")
    rules = re.findall(r"^user ((?:.*\\\n)*.*)$", text, flags=re.MULTILINE)
    words = [rule.replace("\\\n", " ").split() for rule in rules]
    found = {rule[0]: rule for rule in words}
    assert set(found) == {"default", USER}
    assert f">{PASSWORD}" in found[USER]
    return found
