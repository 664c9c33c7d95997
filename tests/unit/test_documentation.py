"""The documentation is consistent: its links, its generated tables, the paths that it names."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from cli.main import app
from tests.support.documents import DOCS, tables_from_code
from tests.support.tables import ROOT as PROJECT

NAMES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "RELEASING.md", "SECURITY.md")
PAGES = sorted(
    [
        *DOCS.glob("*.md"),
        *(PROJECT / name for name in NAMES),
        PROJECT / "deploy" / "README.md",
        PROJECT / "models" / "README.md",
        PROJECT / "client" / "README.md",
        PROJECT / "deploy" / "monitoring" / "README.md",
        *(PROJECT / "examples").glob("README.md"),
        *(PROJECT / "examples").glob("*/README.md"),
    ]
)
DOCUMENTS = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""The pages that describe the present state."""

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


def test_pictures_are_small_and_used() -> None:
    pictures = list((DOCS / "images").iterdir())
    assert len(pictures) >= 3
    assert sum(picture.stat().st_size for picture in pictures) < 600_000
    pages = [*PAGES, PROJECT / "README.ru.md"]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [it.name for it in pictures if f"images/{it.name})" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_relative_links_and_anchors_exist(page: Path) -> None:
    assert not broken_links(page)


@pytest.mark.parametrize("link", ["missing.md", "page.md#missing", "#missing"])
def test_a_broken_link_is_found(link: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A `code` heading, twice\n\n[1](#a-code-heading-twice) [2]({link})\n")
    assert broken_links(page) == [link]


@pytest.mark.parametrize("name", tables_from_code())
def test_a_table_from_the_code_is_fresh(name: str) -> None:
    fresh = f"<!-- {name} -->\n{tables_from_code()[name]}\n<!-- /{name} -->\n"
    pages = (page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    assert any(fresh in page for page in pages), "regenerate it: make docs"


def test_every_page_is_linked_from_the_readme() -> None:
    links = _LINK.findall(prose(PROJECT / "README.md"))
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= set(links)


def test_the_readme_stays_short() -> None:
    lines = (PROJECT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES


def unknown_commands(text: str) -> list[str]:
    """Return the commands in a text that this project does not have."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    subcommands = set(typer.main.get_group(app).commands)
    known: tuple[tuple[str, Callable[[str], bool]], ...] = (
        (r"`(make ([a-z-]+))", targets.__contains__),
        (r"`(plate-detect ([a-z][a-z-]*))", subcommands.__contains__),
        (r"(python -m ([a-z_.]+[a-z]))", is_program),
    )
    return [
        command
        for pattern, exists in known
        for command, name in re.findall(pattern, text)
        if not exists(name)
    ]


def is_program(module: str) -> bool:
    path = PROJECT / module.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(PROJECT)))
def test_named_commands_exist(page: Path) -> None:
    assert not unknown_commands(page.read_text(encoding="utf-8"))


def test_an_unknown_command_is_found() -> None:
    text = "`make run`, `make nothing`, `plate-detect settings`, `plate-detect nothing`"
    assert unknown_commands(text) == ["make nothing", "plate-detect nothing"]
    assert unknown_commands("python -m producer; python -m nothing") == ["python -m nothing"]


def test_every_path_in_the_architecture_exists() -> None:
    paths = named_paths(DOCS / "architecture.md")
    assert len(paths) > 20
    assert not [path for path in paths if not (PROJECT / path).exists()]
