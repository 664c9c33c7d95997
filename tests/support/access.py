"""The users of Redis that the documentation gives for operators."""

import re

from tests.support.documents import OPERATING

USER, PASSWORD = "plates", "secret"


def documented_rules() -> dict[str, list[str]]:
    """Return name and rule of each user; a rule is as in redis.conf: the name, then words."""
    text = OPERATING.read_text(encoding="utf-8")
    rules = re.findall(r"^user ((?:.*\\\n)*.*)$", text, flags=re.MULTILINE)
    words = [rule.replace("\\\n", " ").split() for rule in rules]
    found = {rule[0]: rule for rule in words}
    assert set(found) == {"default", USER}
    assert f">{PASSWORD}" in found[USER]
    return found
