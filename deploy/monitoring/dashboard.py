#!/usr/bin/env python3
"""Prints the Grafana dashboard of panels.py; `make docs` writes it to grafana/dashboards."""

import json
import sys
from typing import Any

from panels import ROWS, Panel

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24


def panel_json(panel: Panel, number: int, x: int, y: int, height: int) -> dict[str, Any]:
    """Return a panel as Grafana reads it."""
    colours = {"green": None, **panel.limits}
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": color, "value": value} for color, value in colours.items()],
        },
    }
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    if panel.is_stat:
        options: dict[str, Any] = {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "area",
        }
    else:
        defaults["custom"] = {
            "fillOpacity": 20 if panel.stacked else 5,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.limits else "off"},
        }
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {
        "id": number,
        "type": "stat" if panel.is_stat else "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "editorMode": "code",
                "expr": expression,
                "legendFormat": legend or "__auto",
                "range": True,
            }
            for place, (legend, expression) in enumerate(panel.series.items())
        ],
    }


def layout() -> list[dict[str, Any]]:
    """Return all rows with their panels, from left to right and from top to bottom."""
    found: list[dict[str, Any]] = []
    y = 0
    for title, panels in ROWS.items():
        found.append({
            "id": len(found) + 1, "type": "row", "title": title, "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}, "panels": [],
        })  # fmt: skip
        y += 1
        x = height = 0
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + height
            height = 4 if panel.is_stat else 8
            found.append(panel_json(panel, len(found) + 1, x, y, height))
            x += panel.width
        y += height
    return found


def variable(name: str, kind: str, **options: Any) -> dict[str, Any]:
    """Return a variable that the user of the dashboard chooses."""
    return {"name": name, "label": name.capitalize(), "type": kind, "hide": 0, **options}


DASHBOARD: dict[str, Any] = {
    "uid": "plate-detect",
    "title": "plate-detect",
    "description": "Producer, workers and dispatcher of plate-detect.",
    "tags": ["plate-detect"],
    "schemaVersion": 39,
    "editable": True,
    "graphTooltip": 1,
    "refresh": "30s",
    "time": {"from": "now-3h", "to": "now"},
    "timezone": "browser",
    "annotations": {"list": [{
        "name": "Alerts", "enable": True, "iconColor": "red", "datasource": DATASOURCE,
        "expr": 'ALERTS{alertname=~"Plate.*",alertstate="firing",namespace=~"$namespace"}',
        "titleFormat": "{{alertname}}", "textFormat": "{{severity}}",
    }]},
    "templating": {"list": [
        variable("datasource", "datasource", query="prometheus", refresh=1),
        variable(
            "namespace", "query", datasource=DATASOURCE, refresh=2, sort=1,
            query={"query": "label_values(plate_open_tasks, namespace)", "refId": "namespaces"},
            definition="label_values(plate_open_tasks, namespace)",
            includeAll=True, allValue=".*", multi=False,
            current={"text": "All", "value": "$__all"},
        ),
    ]},
    "panels": layout(),
}  # fmt: skip


if __name__ == "__main__":
    json.dump(DASHBOARD, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
