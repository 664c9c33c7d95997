"""Accessibility, checked by axe-core."""

from pathlib import Path

from playwright.sync_api import Page

from tests.support.programs import skip_without

_SCRIPT = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
_RUN = """
async () => (await axe.run()).violations
  .filter(({ impact }) => impact === "serious" || impact === "critical")
  .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`)
"""


def faults(page: Page) -> list[str]:
    """Return the serious and critical faults of what the page shows now."""
    if not _SCRIPT.exists():
        skip_without("axe-core is not installed: npm ci --prefix tests")
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_SCRIPT.read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(_RUN)
    return found
