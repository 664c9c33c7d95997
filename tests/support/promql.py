"""The expressions of the alerts and of the dashboard, and the series that they select."""

import json
import re
from typing import Any

import yaml

from tests.support.prometheus import MONITORING

DASHBOARD = MONITORING / "grafana" / "dashboards" / "plate-detect.json"
RULES = MONITORING / "rules.yml"

_SELECTOR = re.compile(r"\b(?:plate|process)_\w+(?:\{[^}]*\})?")
_CLAUSE = re.compile(r"\b(?:by|on) \([\w, ]*\)")
_RANGE = re.compile(r"\[[^]]*\]")
_OF_THE_LANGUAGE = {
    "absent", "and", "count", "histogram_quantile", "increase", "max", "min", "or", "rate", "sum",
    "unless",
}  # fmt: skip


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard, without its rows."""
    found = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def chosen(expression: str, interval: str = "10s") -> str:
    """Return an expression of the dashboard with the variables that Grafana fills in."""
    return expression.replace("$__rate_interval", interval).replace("$namespace", ".*")


def panel_expressions() -> list[str]:
    """Return the expressions of all panels."""
    return [chosen(target["expr"]) for panel in panels() for target in panel["targets"]]


def selectors(expression: str) -> set[str]:
    """Return what an expression selects: metrics with their labels."""
    return set(_SELECTOR.findall(expression))


def unknown_words(expression: str) -> set[str]:
    """Return the words that are neither selectors nor of the language, such as a misspelt name."""
    for pattern in (_SELECTOR, _CLAUSE, _RANGE):
        expression = pattern.sub(" ", expression)
    return set(re.findall(r"[A-Za-z_]\w*", expression)) - _OF_THE_LANGUAGE
