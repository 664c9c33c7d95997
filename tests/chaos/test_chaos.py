"""The chaos run in its short form; `make chaos` is the long one."""

import json
import os
import secrets
from pathlib import Path

import pytest

from tests.chaos.plan import SHORT, Plan
from tests.chaos.run import run

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(300)]


def test_nothing_is_lost_whatever_dies(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))
    figures = run(Plan(seed=seed, **SHORT), tmp_path)  # type: ignore[arg-type]
    told = json.dumps(figures.as_json(), indent=2)
    print(told)
    assert figures.passed, told
    assert figures.poison_images == SHORT["poisons"]
    assert figures.dead_letters == figures.poison_images
    assert sum(figures.kills.values()) >= SHORT["kills"]
