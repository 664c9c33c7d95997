"""Tables of the documentation that programs write, between `<!-- NAME -->` and `<!-- /NAME -->`.

`python -m tests.support.documents` writes the tables that are made from the code. The measuring
programs write their figures with `write_table`.
"""

from pathlib import Path

from cli import settings_table
from schemas.contract.errors import IMAGE_ERROR_MEANINGS

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
API = DOCS / "api.md"
OPERATING = DOCS / "operating.md"
PERFORMANCE = DOCS / "performance.md"
WEBHOOKS = DOCS / "webhooks.md"


def tables_from_code() -> dict[tuple[Path, str], str]:
    """Return the tables that are made from the code, by page and name."""
    return {(OPERATING, "settings"): settings_table.markdown(), (API, "error-codes"): error_codes()}


def error_codes() -> str:
    """Return the table of the error codes of images."""
    rows = [f"| `{code}` | {meaning} |" for code, meaning in IMAGE_ERROR_MEANINGS.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


def read_table(page: Path, name: str) -> str:
    """Return the text between the markers of a table. Raises: ValueError if they are missing."""
    _, table, _ = _split(page, name)
    return table.strip()


def write_table(page: Path, name: str, table: str) -> None:
    """Replace the text between the markers of a table. Raises: ValueError if they are missing."""
    before, _, after = _split(page, name)
    page.write_text(f"{before}\n{table.strip()}\n{after}", encoding="utf-8")


def _split(page: Path, name: str) -> tuple[str, str, str]:
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, has_start, rest = page.read_text(encoding="utf-8").partition(start)
    table, has_end, after = rest.partition(end)
    if not has_start or not has_end:
        raise ValueError(f"{page.name} has no {start} … {end}")
    return before + start, table, end + after


if __name__ == "__main__":
    for (page, name), table in tables_from_code().items():
        write_table(page, name, table)
