"""Log lines contain file names only on request, and never local variables."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
NAME = "anna-smith-at-home"
PROGRAM = """
import asyncio, gc, logging, os, sys, threading
import structlog
from redis.exceptions import ResponseError
from schemas.logs import configure_logging

name = os.environ["PLANTED"]
configure_logging("worker", level="debug", log_format=sys.argv[1], filenames=sys.argv[2] == "true")
log = structlog.get_logger()
pixels = f"a local variable with {name}"

def fail():
    local = name + " in a local variable"
    try:
        open(f"/nowhere/{name}.jpg")
    except OSError as error:
        raise RuntimeError(f"cannot put {name}") from error

log.info("image failed", filename=name, filenames=[name], code="corrupt_image")
try:
    fail()
except RuntimeError:
    log.exception("image will be redelivered")
    logging.getLogger("another.package").exception("it failed")
try:
    raise ExceptionGroup(name, [ValueError(name), KeyError(name)])
except ExceptionGroup:
    log.exception("several")
try:
    raise ResponseError("WRONGTYPE of a key")
except ResponseError:
    log.exception("redis")

async def forget():
    async def lost():
        fail()
    asyncio.create_task(lost())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    asyncio.get_running_loop().call_soon(fail_with, name)
    await asyncio.sleep(0)

def fail_with(argument):
    raise LookupError(argument)

asyncio.run(forget())
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


@cache
def written(log_format: str, filenames: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format, filenames],
        env={**os.environ, "PLANTED": NAME, "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_line_contains_a_file_name(log_format: str) -> None:
    text = written(log_format, "false")
    assert NAME not in text
    # The rest is there, so that defects can be found.
    assert text.count("in fail") >= 5
    assert "builtins.FileNotFoundError" in text
    assert "Which led to" in text
    assert "builtins.KeyError" in text
    assert "WRONGTYPE of a key" in text
    for event in ("image failed", "Task exception was never retrieved", "Exception in callback"):
        assert event in text
    assert "thread ended by an error" in text
    assert "ended by an error" in text


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_lines_contain_file_names_on_request_but_never_local_variables(log_format: str) -> None:
    text = written(log_format, "true")
    assert f"cannot put {NAME}" in text
    assert f"/nowhere/{NAME}.jpg" in text
    assert "local variable with" not in text.replace('pixels = f"a local variable with', "")
    assert f"{NAME} in a local variable" not in text


def test_every_line_is_json() -> None:
    lines = [json.loads(line) for line in written("json", "true").splitlines()]
    assert lines[0]["filename"] == NAME
    assert lines[0]["filenames"] == [NAME]
    assert {line["role"] for line in lines} == {"worker"}
    assert lines[-1]["event"] == "ended by an error"
    bare = [json.loads(line) for line in written("json", "false").splitlines()]
    assert [line["event"] for line in bare][:3] == [line["event"] for line in lines][:3]
    assert "filename" not in bare[0]
    assert bare[0]["code"] == "corrupt_image"
