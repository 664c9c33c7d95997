"""Tables of measured figures in the documentation."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write_table(name: str, table: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->` in README.md or docs/.

    Raises:
        ValueError: there are no such marks.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        before, found, rest = path.read_text(encoding="utf-8").partition(start)
        _, closed, after = rest.partition(end)
        if found and closed:
            path.write_text(f"{before}{start}\n{table}\n{end}{after}", encoding="utf-8")
            return
    raise ValueError(f"neither README.md nor docs/ has {start} … {end}")
