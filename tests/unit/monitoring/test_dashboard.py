"""The dashboard: fresh, complete, and about metrics of the roles."""

import json
import subprocess
import sys

import pytest

from tests.support.prometheus import MONITORING
from tests.support.promql import DASHBOARD, chosen, panels, rules, unknown_words

EXPRESSIONS = [
    *(rule["expr"] for rule in rules()),
    *(chosen(target["expr"]) for panel in panels() for target in panel["targets"]),
]


def test_it_is_fresh() -> None:
    shown = subprocess.run(
        [sys.executable, MONITORING / "dashboard.py"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == DASHBOARD.read_text(encoding="utf-8"), "regenerate it: make docs"


def test_it_has_a_row_per_role() -> None:
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    rows = [panel["title"] for panel in document["panels"] if panel["type"] == "row"]
    assert rows == ["Service", "Producer", "Worker", "Dispatcher"]
    numbers = [panel["id"] for panel in document["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_panels_do_not_overlap() -> None:
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in document["panels"]):
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_in_which_unit(panel: dict[str, object]) -> None:
    assert str(panel["description"]).endswith(".")
    text = json.dumps(panel)
    assert '"unit": ""' not in text
    assert '"uid": "${datasource}"' in text
    targets = panel["targets"]
    assert isinstance(targets, list)
    for target in targets:
        assert 'namespace=~"$namespace"' in target["expr"]
        assert "[" not in target["expr"].replace("[$__rate_interval]", "")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_has_no_unknown_word(expression: str) -> None:
    assert unknown_words(expression) == set()


def test_a_misspelt_metric_is_found() -> None:
    assert unknown_words("sum by (kind) (rate(plat_events_total[5m])) > 0") == {"plat_events_total"}
