"""The Lua steps and their typed calls."""

import inspect
import re
from importlib.resources import files

from schemas.redis import corrections, scripts, task_store

STEPS = sorted(
    path.name.removesuffix(".lua")
    for path in (files("schemas.redis") / "lua").iterdir()
    if not path.name.startswith("_")
)


def test_every_step_has_one_call() -> None:
    modules = "".join(map(inspect.getsource, (scripts, task_store, corrections)))
    calls = re.findall(r'(?:_run\(|register\(redis,)\s*"(\w+)"', modules)
    assert sorted(calls) == STEPS


def test_includes_are_in_place_and_the_shebang_is_first() -> None:
    for step in STEPS:
        text = scripts.source(step)
        assert text.startswith("#!lua")
        assert "--!include" not in text
        assert text.count("local function now_ms()") <= 1
