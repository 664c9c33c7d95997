"""The documentation is consistent: its links, its generated tables, the paths that it names."""

import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from tests.support.documents import DOCS, PROJECT, read_table, tables_from_code

PAGES = sorted(
    [
        *DOCS.glob("*.md"),
        *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        PROJECT / "models" / "README.md",
    ]
)
README_LINES = 200

_CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_PATH = re.compile(r"\.?\w[\w.-]*(?:/[\w.-]+)*/?")
_FILE = re.compile(r"(?:Makefile|.*\.(?:py|lua|md|json|yml|yaml|toml|pt|js|html|txt))")


def prose(page: Path) -> str:
    return _CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    found: Counter[str] = Counter()
    for heading in _HEADING.findall(prose(page)):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        kept = (c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN")
        slug = "".join(kept).replace(" ", "-")
        found[slug] += 1
    repeated = {f"{slug}-{n}" for slug, count in found.items() for n in range(1, count)}
    return set(found) | repeated


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page whose file or anchor does not exist."""
    broken = []
    for link in _LINK.findall(_CODE_SPAN.sub("", prose(page))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def named_paths(page: Path) -> list[str]:
    """Return the paths in backticks, with a slash or of a file, and the files in drawings."""
    spans = [span for span in _CODE_SPAN.findall(prose(page)) if _PATH.fullmatch(span)]
    drawings = "".join(_CODE_BLOCK.findall(page.read_text(encoding="utf-8")))
    drawn = [path for path in _PATH.findall(drawings) if _FILE.fullmatch(path)]
    return [span for span in spans if "/" in span or _FILE.fullmatch(span)] + drawn


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_relative_links_and_anchors_exist(page: Path) -> None:
    assert not broken_links(page)


@pytest.mark.parametrize("link", ["missing.md", "page.md#missing", "#missing"])
def test_a_broken_link_is_found(link: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A `code` heading, twice\n\n[1](#a-code-heading-twice) [2]({link})\n")
    assert broken_links(page) == [link]


@pytest.mark.parametrize("table", tables_from_code(), ids=lambda table: table[1])
def test_a_table_from_the_code_is_fresh(table: tuple[Path, str]) -> None:
    fresh = tables_from_code()[table].strip()
    assert read_table(*table) == fresh, "regenerate it: python -m tests.support.documents"


def test_every_page_is_linked_from_the_readme() -> None:
    links = _LINK.findall(prose(PROJECT / "README.md"))
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= set(links)


def test_the_readme_stays_short() -> None:
    lines = (PROJECT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES


def test_every_path_in_the_architecture_exists() -> None:
    paths = named_paths(DOCS / "architecture.md")
    assert len(paths) > 20
    assert not [path for path in paths if not (PROJECT / path).exists()]
