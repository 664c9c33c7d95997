"""The chaos run in its short form; `make chaos` is the long one.

The seed, new each time, also chooses the kind of server; CHAOS_SEED repeats a run.
"""

import json
import os
import secrets
from pathlib import Path

import pytest

from tests.stress.chaos.plan import SHORT, ChaosPlan
from tests.stress.chaos.run import run
from tests.support.redis_server import server_binaries

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(300)]


def test_nothing_is_lost_whatever_dies(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))
    servers = sorted(server_binaries())
    plan = ChaosPlan(seed=seed, server=servers[seed % len(servers)], **SHORT)  # type: ignore[arg-type]
    figures = run(plan, tmp_path)
    told = json.dumps(figures.as_json(), indent=2)
    print(told)
    assert figures.passed, told
    assert figures.poison_images == SHORT["poisons"]
    assert figures.dead_letters == figures.poison_images
    assert sum(figures.kills.values()) >= SHORT["kills"]
    assert figures.upgrades == SHORT["upgrades"]
    assert figures.models == 1 + figures.upgrades
    assert figures.entries_deleted
    assert figures.corrections_checked
    assert 0 < figures.versions <= figures.corrections
