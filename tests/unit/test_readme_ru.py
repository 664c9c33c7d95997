"""README.ru.md has the content of README.md: the same structure, commands, links and settings."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


# Links and pictures are those in the reader's language.
ENGLISH, RUSSIAN = (
    (PROJECT / name)
    .read_text(encoding="utf-8")
    .replace(".ru.md", ".md")
    .replace(".ru.webp", ".en.webp")
    for name in ("README.md", "README.ru.md")
)
PARTS = {
    "headings": r"^(#+) ",
    "commands": r"(?s)```.*?```",
    "addresses": r"\]\(([^)]+)\)",
    "table rows": r"^\|.*?(`[A-Z_]+`|\(\S+\))",
    "items": r"^(- )",
    "code": r"(?<!`)`([^`\n]+)`(?!`)",
}


@pytest.mark.parametrize("part", PARTS)
def test_both_have_the_same(part: str) -> None:
    english, russian = (
        sorted(re.findall(PARTS[part], text, re.MULTILINE)) for text in (ENGLISH, RUSSIAN)
    )
    assert english == russian
    assert len(english) >= 3
