"""The sizes and costs of deploy/README.md follow from the measured figures."""

import math
import re

import pytest

from tests.support.tables import ROOT

RESERVE = 0.7
README = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
PERFORMANCE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    found = re.search(rf"<!-- {name} -->(.*?)<!-- /{name} -->", README, re.DOTALL)
    assert found is not None
    lines = [line for line in found[1].splitlines() if re.match(r"\| [\d.]+ MP", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


SPEEDS, WORKERS, COSTS = rows("sizes")[:3], rows("sizes")[3:], rows("cost")


@pytest.mark.parametrize("speed", SPEEDS, ids=lambda row: row[0])
def test_the_speed_is_the_measured_one(speed: list[str]) -> None:
    width = re.search(r"(\d+) px", speed[0])
    assert width is not None
    measured = re.search(rf"^\| {width[1]} \| ([\d.]+) \|", PERFORMANCE, re.MULTILINE)
    assert measured is not None
    assert speed[1] == measured[1]
    assert speed[2] == f"{2000 / float(measured[1]):.0f} ms"


@pytest.mark.parametrize(("speed", "workers"), list(zip(SPEEDS, WORKERS, strict=True)))
def test_the_workers_carry_the_load(speed: list[str], workers: list[str]) -> None:
    seconds = 2 / float(speed[1])
    needed = [math.ceil(rate * seconds / RESERVE / 2) for rate in (10, 100, 1000)]
    assert [int(cell) for cell in workers[1:]] == needed


@pytest.mark.parametrize(("speed", "cost"), list(zip(SPEEDS, COSTS, strict=True)))
def test_the_cost_is_time_by_price(speed: list[str], cost: list[str]) -> None:
    [price] = re.findall(r"an example: \*\*([\d.]+)\*\*", README)
    hours = 1e6 * 2 / float(speed[1]) / 3600 / RESERVE
    assert cost[1:] == [f"{hours:.1f}", f"{hours * float(price):.2f}"]
