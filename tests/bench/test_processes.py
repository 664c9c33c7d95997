"""A benchmark beside a service in use: it works like it, and touches nothing of it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from cli.settings_table import MODELS
from tests.bench import environment, processes
from tests.bench.client import Client, Outcome
from tests.bench.processes import BenchError, ServiceUnderLoad
from tests.support.pictures import scene_file
from tests.support.receiver import Receiver, receiving
from tests.support.service import ROOT, wait_until

TASK = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a service in use, which this process works in."""
    folder = tmp_path / "in use"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def result_of_no_task(storage: Path) -> Path:
    """A result that is old enough for a sweeper whose Redis does not know its task."""
    path = storage / TASK / "output" / "covered.webp"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"RIFF")
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))
    return path


@pytest.mark.acceptance
@pytest.mark.slow
async def test_storage_backend_and_keys_of_the_service_in_use_are_left_alone(
    in_use: Path, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    swept, live = (
        result_of_no_task(work / "storage"), result_of_no_task(in_use / "tasks_storage"),
    )  # fmt: skip
    monkeypatch.setenv("KEY_PREFIX", "{live}")
    (in_use / ".env").write_text(
        f"BACKEND_CALLBACK_URL={receiver.url}/callback\n"
        f"BACKEND_UPLOAD_URL={receiver.url}/upload\n"
        "API_KEYS=0123456789abcdef0123\nREDIS_SENTINELS=nowhere.invalid:26379\n"
        "REDIS_PASSWORD=hunter2\nDETECTIONS=true\nSWEEP_INTERVAL_SECONDS=0.2\n"
    )
    async with processes.service(work, {"DETECT_TILING": "off"}, 1) as service:
        done = await one_task(service)
        await eventually(lambda: not swept.exists())  # by the benchmark's own sweeper
        with Redis.from_url(service.redis_url) as redis:
            await eventually(lambda: is_dispatched(redis))
            assert not list(redis.scan_iter("*:delivery:*"))
    assert (receiver.callbacks, receiver.uploads) == ([], [])
    assert live.exists()
    assert [path for path in (in_use / "tasks_storage").rglob("*") if path.is_file()] == [live]
    assert "detections" in done.results[0]  # of `.env`, as a setting of how to work


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.05)


async def one_task(service: ServiceUnderLoad) -> Outcome:
    async with Client(service.url) as client:
        return await client.run([("a.jpg", scene_file(width=320))])


def is_dispatched(redis: Redis) -> bool:
    groups = redis.xinfo_groups("{plates}:events") if redis.exists("{plates}:events") else []
    return bool(groups) and all((it["lag"], it["pending"]) == (0, 0) for it in groups)


@pytest.mark.acceptance
@pytest.mark.slow
def test_a_signal_leaves_no_process_and_no_file(in_use: Path, tmp_path: Path) -> None:
    (in_use / "images").mkdir()
    (in_use / "images" / "a.jpg").write_bytes(scene_file(width=320))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with (tmp_path / "bench.log").open("wb") as log:
        bench = subprocess.Popen(
            [sys.executable, "-m", "tests.bench", "--images", "images", "--rounds", "500",
             "--tiling", "off"],
            env={**os.environ, "TMPDIR": str(temporary)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_until(
            lambda: bench.poll() is not None or len(roles_of(bench.pid)) == 4, 60,
            lambda: f"roles of {psutil.Process(bench.pid).children(recursive=True)}",
        )  # fmt: skip
        assert bench.poll() is None, (tmp_path / "bench.log").read_text()
        family = roles_of(bench.pid)
        bench.send_signal(signal.SIGTERM)
        assert bench.wait(30) == 128 + signal.SIGTERM
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive
        assert not list(temporary.iterdir())
    finally:
        bench.kill()
        bench.wait()


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


@pytest.mark.acceptance
@pytest.mark.slow
async def test_a_role_that_ends_is_not_waited_for(in_use: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"^producer has ended: .*MAX_EVENT_STREAMS"):
        async with processes.service(tmp_path / "work", {"MAX_EVENT_STREAMS": "-1"}, 1):
            pass


@pytest.mark.acceptance
@pytest.mark.slow
async def test_a_baseline_finds_nothing_of_the_service_in_use(
    in_use: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKS_STORAGE_URL", (in_use / "tasks_storage").as_uri())
    script = tmp_path / "naive.py"
    script.write_text(
        "import os, pathlib, sys\n"
        "pathlib.Path(sys.argv[1]).write_text(f\"{os.getcwd()} {os.getenv('TASKS_STORAGE_URL')}\")"
    )
    work, found = tmp_path / "work", tmp_path / "found"
    work.mkdir()
    with pytest.raises(BenchError, match=r"^naive has ended: its log is empty"):
        async with processes.baseline(work, "naive", [str(script), str(found)], 1):
            pass
    assert found.read_text() == f"{work} None"


def test_what_names_a_place_or_a_secret_is_not_passed_on(
    in_use: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = ("url", "host", "key", "secret", "password", "sentinel", "username", "prefix", "port")
    names = {name for model in MODELS.values() for name in model.model_fields}
    places = {name for name in names if set(marks) & set(name.removesuffix("s").split("_"))}
    assert {"redis_url", "api_keys", "webhook_secret", "tasks_storage_url", "port"} <= places
    for name in places:
        monkeypatch.setenv(name.upper(), "x")
    assert not {name for name in environment.tuning() if name.lower() in places}


def test_how_to_work_is_read_as_the_service_reads_it(
    in_use: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_use / ".env").write_text("webp_method=3\nDETECT_TILING=on\nCOVER_IMAGE_PATH=mine.png\n")
    (in_use / "mine.png").touch()
    (in_use / "mine.pt").touch()
    monkeypatch.setenv("MODEL_PATH", "mine.pt")
    monkeypatch.setenv("WEBP_METHOD", "")
    monkeypatch.setenv("DETECT_TILING", "off")
    passed_on = environment.environment()
    assert (passed_on["WEBP_METHOD"], passed_on["DETECT_TILING"]) == ("3", "off")
    assert passed_on["COVER_IMAGE_PATH"] == str(in_use / "mine.png")
    assert passed_on["MODEL_PATH"] == str(in_use / "mine.pt")
