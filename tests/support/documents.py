"""Pages of the documentation, and their tables that are made from the code.

`python -m tests.support.documents` writes these tables.
"""

from cli import exits, settings_table
from schemas.contract.errors import IMAGE_ERROR_MEANINGS
from tests.support.tables import ROOT, write_table

DOCS = ROOT / "docs"
OPERATING = DOCS / "operating.md"


def tables_from_code() -> dict[str, str]:
    """Return the tables that are made from the code, by the name in their markers."""
    return {
        "settings": settings_table.markdown().strip(),
        "error-codes": error_codes(),
        "exit-codes": exits.markdown(),
    }


def error_codes() -> str:
    """Return the table of the error codes of images."""
    rows = [f"| `{code}` | {meaning} |" for code, meaning in IMAGE_ERROR_MEANINGS.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


if __name__ == "__main__":
    for name, table in tables_from_code().items():
        write_table(name, table)
