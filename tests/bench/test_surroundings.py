"""A bench beside a service in use: it takes over how to work, and touches nothing of it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from redis import Redis

from cli.settings_table import MODELS
from tests.bench import processes, surroundings
from tests.bench.client import Client, Outcome
from tests.bench.processes import BenchError, Roles
from tests.support.pictures import scene_file
from tests.support.receiver import receiving
from tests.support.service import ROOT, wait_until

acceptance = pytest.mark.acceptance

TASK = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a service in use, which this process works in."""
    folder = tmp_path / "in use"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MODEL_PATH", "stand-in:1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


def result_of_no_task(storage: Path) -> Path:
    """A result that is old enough for a sweeper whose Redis does not know its task."""
    path = storage / TASK / "output" / "covered.webp"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"RIFF")
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))
    return path


@acceptance
def test_storage_backend_and_keys_of_the_service_in_use_are_left_alone(
    in_use: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    swept, live = (
        result_of_no_task(work / "storage"), result_of_no_task(in_use / "tasks_storage"),
    )  # fmt: skip
    monkeypatch.setenv("KEY_PREFIX", "{live}")
    with receiving() as receiver:
        (in_use / ".env").write_text(
            f"BACKEND_CALLBACK_URL={receiver.url}/callback\n"
            f"BACKEND_UPLOAD_URL={receiver.url}/upload\n"
            "API_KEYS=0123456789abcdef0123\nREDIS_SENTINELS=nowhere.invalid:26379\n"
            "REDIS_PASSWORD=hunter2\nDETECTIONS=true\nSWEEP_INTERVAL_SECONDS=0.2\n"
        )
        with processes.service(work, {"DETECT_TILING": "off"}, 1) as roles:
            done = asyncio.run(one_task(roles))
            wait_until(lambda: not swept.exists(), 20, "the bench's own sweeper")
            with Redis.from_url(roles.redis_url) as redis:
                wait_until(lambda: is_dispatched(redis), 20, "the end of the task to be told")
                assert not list(redis.scan_iter("*:delivery:*"))
        assert (receiver.callbacks, receiver.uploads) == ([], [])
    assert live.exists()
    assert [path for path in (in_use / "tasks_storage").rglob("*") if path.is_file()] == [live]
    assert "detections" in done.results[0]  # of `.env`, as a setting of how to work


async def one_task(roles: Roles) -> Outcome:
    async with Client(roles.url) as client:
        return await client.run([("a.jpg", scene_file(width=320))])


def is_dispatched(redis: Redis) -> bool:
    groups = redis.xinfo_groups("{plates}:events") if redis.exists("{plates}:events") else []
    return bool(groups) and all((it["lag"], it["pending"]) == (0, 0) for it in groups)


@acceptance
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_no_process(
    in_use: Path, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODEL_PATH")  # stages are those of a real detector
    if number is signal.SIGKILL and sys.platform != "linux":
        pytest.skip("prctl is Linux's")
    (in_use / "images").mkdir()
    (in_use / "images" / "a.jpg").write_bytes(scene_file(width=320))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    # Where the tests run in the background they may ignore it, and what they start would, too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with (tmp_path / "bench.log").open("wb") as log:
        bench = subprocess.Popen(
            [sys.executable, "-m", "cli", "bench", "--images", "images", "--rounds", "500",
             "--tiling", "off"],
            env={**os.environ, "TMPDIR": str(temporary)}, stdout=log, stderr=log,
        )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    family: list[psutil.Process] = []
    try:
        wait_until(
            lambda: bench.poll() is not None or len(roles_of(bench.pid)) == 4, 60,
            lambda: f"roles of {psutil.Process(bench.pid).children(recursive=True)}",
        )  # fmt: skip
        assert bench.poll() is None, (tmp_path / "bench.log").read_text()
        family = roles_of(bench.pid)
        bench.send_signal(number)
        status = bench.wait(30)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive
        if number is not signal.SIGKILL:
            assert status == 128 + number
            assert not list(temporary.iterdir())
    finally:
        bench.kill()
        bench.wait()
        for process in filter(psutil.Process.is_running, family):
            process.kill()


def roles_of(pid: int) -> list[psutil.Process]:
    """Server, producer, worker and dispatcher, once each is what it shall become."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        try:
            name, command = process.name(), " ".join(process.cmdline())
        except psutil.Error:
            continue
        # The server writes its own title over its command.
        if name == "valkey-server" or "-m producer" in command or "-m consumer" in command:
            found.append(process)
    return found


@acceptance
def test_a_role_that_ends_is_not_waited_for(
    in_use: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "START_SECONDS", 30.0)
    with (
        pytest.raises(BenchError, match=r"^producer has ended: .*MAX_EVENT_STREAMS"),
        processes.service(tmp_path / "work", {"MAX_EVENT_STREAMS": "-1"}, 1),
    ):
        pass


@acceptance
def test_a_baseline_finds_nothing_of_the_service_in_use(
    in_use: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKS_STORAGE_URL", (in_use / "tasks_storage").as_uri())
    script = tmp_path / "naive.py"
    script.write_text(
        "import os, pathlib, sys\n"
        "pathlib.Path(sys.argv[1]).write_text(f\"{os.getcwd()} {os.getenv('TASKS_STORAGE_URL')}\")"
    )
    work, told = tmp_path / "work", tmp_path / "told"
    work.mkdir()
    command = [sys.executable, str(script), str(told)]
    with (
        pytest.raises(BenchError, match=r"^naive has ended: without a word"),
        processes.single(work, "naive", command, 1),
    ):
        pass
    assert told.read_text() == f"{work} None"


def test_what_names_a_place_or_a_secret_is_not_passed_on(
    in_use: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = ("url", "host", "key", "secret", "password", "sentinel", "username", "prefix", "port")
    names = {name for model in MODELS.values() for name in model.model_fields}
    places = {name for name in names if set(marks) & set(name.removesuffix("s").split("_"))}
    assert {"redis_url", "api_keys", "webhook_secret", "tasks_storage_url", "port"} <= places
    for name in places:
        monkeypatch.setenv(name.upper(), "x")
    assert not {name for name in surroundings.tuning() if name.lower() in places}


def test_how_to_work_is_read_as_the_service_reads_it(
    in_use: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_use / ".env").write_text("webp_method=3\nDETECT_TILING=on\nCOVER_IMAGE_PATH=mine.png\n")
    (in_use / "mine.png").touch()
    monkeypatch.setenv("WEBP_METHOD", "")
    monkeypatch.setenv("DETECT_TILING", "off")
    told = surroundings.environment()
    assert (told["WEBP_METHOD"], told["DETECT_TILING"]) == ("3", "off")
    assert told["COVER_IMAGE_PATH"] == str(in_use / "mine.png")
    assert told["MODEL_PATH"].endswith("/stand-in:1")
