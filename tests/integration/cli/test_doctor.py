"""`plate-detect doctor` finds what is broken on purpose, says how to mend it, shows no secret."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from redis import Redis
from typer.testing import CliRunner

from cli.main import app
from models import __file__ as models
from tests.support.access import documented_rules
from tests.support.disks import small_disk
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.service import running

pytestmark = pytest.mark.integration

MODELS = Path(models).parent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, **settings: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments], env=settings)


def found(check: str, *, status: int = 0, **settings: str) -> dict[str, list[str]]:
    """Return the texts of one check by their level; each that is bad says how to mend it."""
    done = run(check, "--json", **settings)
    assert done.exit_code == status, done.output
    texts: dict[str, list[str]] = {}
    for row in map(json.loads, done.stdout.splitlines()):
        assert row["check"] == check
        assert (row["mend"] is None) == (row["level"] in ("ok", "skipped"))
        texts.setdefault(row["level"], []).append(row["text"])
    return texts


def only(texts: list[str]) -> str:
    (text,) = texts
    return text


@contextmanager
def configured(url: str, **changes: str) -> Iterator[None]:
    """Change the configuration of a server for the length of a block."""
    with Redis.from_url(url) as client:
        names = [name.replace("_", "-") for name in changes]
        before: Any = {name: client.config_get(name)[name] for name in names}  # type: ignore[index]
        for name, value in zip(names, changes.values(), strict=True):
            client.config_set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                client.config_set(name, value)


def test_a_server_as_it_should_be(own_redis: RedisServer) -> None:
    texts = found("redis", REDIS_URL=own_redis.url)
    assert set(texts) == {"ok"}
    assert texts["ok"][0].startswith("Valkey ")
    assert "persistence: append-only file" in texts["ok"]
    assert "appendfsync always" in texts["ok"]


def test_a_server_that_forgets(redis_server: str) -> None:
    with configured(redis_server, maxmemory_policy="allkeys-lru", appendfsync="everysec"):
        texts = found("redis", status=3, REDIS_URL=redis_server)
        assert [text.partition(":")[0] for text in texts["warning"]] == [
            "persistence", "maxmemory-policy is allkeys-lru", "appendfsync is everysec",
        ]  # fmt: skip
        with configured(redis_server, maxmemory=str(1 << 30)):
            texts = found("redis", status=1, REDIS_URL=redis_server)
            assert only(texts["problem"]).startswith("maxmemory-policy is allkeys-lru")


def test_a_server_that_is_almost_full(redis_server: str) -> None:
    with Redis.from_url(redis_server) as client:
        for number in range(200):
            client.set(f"filler {number}", b"x" * 100_000)
        used: Any = client.info("memory")
    with configured(redis_server, maxmemory=str(used["used_memory"])):
        texts = found("redis", status=3, REDIS_URL=redis_server)
    assert any(text.startswith("memory: ") for text in texts["warning"])


def test_a_user_with_the_documented_rights(redis_server: str) -> None:
    _, *rule = documented_rules()["plates"]
    with Redis.from_url(redis_server) as client:
        client.execute_command("ACL", "SETUSER", "plates", *rule)
        try:
            url = redis_server.replace("//", "//plates:secret@")
            # The server of the tests writes nothing to disk.
            texts = found("redis", status=3, REDIS_URL=url)
            assert "CONFIG" in only(texts["skipped"])
            client.execute_command("ACL", "SETUSER", "plates", "-xlen")
            texts = found("redis", status=1, REDIS_URL=url)
            assert "xlen" in only(texts["problem"]).lower()
            wrong = found("redis", status=1, REDIS_URL=url.replace("secret", "hunter2"))
            assert "hunter2" not in only(wrong["problem"])
        finally:
            client.execute_command("ACL", "DELUSER", "plates")


def test_a_server_that_does_not_run() -> None:
    port = free_port()
    texts = found("redis", status=1, REDIS_URL=f"redis://me:hunter2@localhost:{port}/0")
    assert only(texts["problem"]) == f"localhost:{port} cannot be reached: ConnectionError"


def test_a_replica(redis_server: str) -> None:
    with Redis.from_url(redis_server) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        try:
            texts = found("redis", status=1, REDIS_URL=redis_server)
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")
    assert any("replica" in text for text in texts["problem"])


def test_a_folder_for_storage(folder: Path) -> None:
    texts = found("storage", TASKS_STORAGE_URL=(folder / "new").as_uri())
    assert "does not exist yet" in only(texts["ok"])
    assert not (folder / "new").exists()
    (folder / "new").mkdir()
    texts = found("storage", TASKS_STORAGE_URL=(folder / "new").as_uri())
    assert texts["ok"][0].endswith("a file can be written, read and deleted")
    assert not list((folder / "new").iterdir())


def test_a_folder_without_room(folder: Path) -> None:
    with small_disk(folder / "disk", 1):
        url = (folder / "disk").as_uri()
        texts = found("storage", status=3, TASKS_STORAGE_URL=url)
        assert only(texts["warning"]).startswith("only 0.0 GiB free")
        (folder / "disk" / "filler").write_bytes(b"x" * (1 << 20))
        texts = found("storage", status=1, TASKS_STORAGE_URL=url)
        assert "No space left on device" in only(texts["problem"])


def test_a_file_in_place_of_the_folder(folder: Path) -> None:
    (folder / "file").touch()
    found("storage", status=1, TASKS_STORAGE_URL=(folder / "file").as_uri())


def test_a_bucket_that_cannot_be_reached() -> None:
    texts = found(
        "storage", status=1, TASKS_STORAGE_URL="s3://bucket", AWS_ACCESS_KEY_ID="id",
        AWS_SECRET_ACCESS_KEY="hunter2", AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}",
    )  # fmt: skip
    assert "Connection refused" in only(texts["problem"])


def test_the_shipped_networks() -> None:
    device, files, engine = found("model")["ok"]
    assert device.startswith("device cpu: ")
    assert "second stage plate-corners.xml" in files
    assert engine.startswith("OpenVINO, ")


def test_networks_that_are_missing_or_damaged(folder: Path) -> None:
    texts = found("model", status=1, MODEL_PATH="none.pt")
    assert only(texts["problem"]).endswith("none.pt: there is no such file")
    texts = found("model", status=1, CORNERS_MODEL_PATH=str(folder / "none.xml"))
    assert only(texts["problem"]).startswith("CORNERS_MODEL_PATH=")
    (folder / "damaged.xml").write_text("<net/>")
    texts = found("model", status=1, MODEL_PATH=str(folder / "damaged.xml"))
    assert "damaged." in only(texts["problem"])
    for suffix in (".xml", ".bin", "-int8.xml", "-int8.bin"):
        (folder / f"own{suffix}").write_bytes((MODELS / f"plate-obb{suffix}").read_bytes())
    (folder / "own.pt").write_bytes(b"another checkpoint")
    texts = found("model", status=1, MODEL_PATH=str(folder / "own.pt"))
    assert "was exported from another checkpoint" in only(texts["problem"])
    found("model", status=1, COVER_IMAGE_PATH=str(folder / "none.png"))


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    texts = found("model", status=1, PROCESSING_DEVICE=device)
    assert set(texts) == {"problem"}
    assert only(texts["problem"]) == (
        f"PROCESSING_DEVICE={device}: {device!r} was asked for,"
        " but this PyTorch sees no CUDA device"
    )
    done = run("model", PROCESSING_DEVICE=device, COLUMNS="400")
    assert "set PROCESSING_DEVICE=cpu, or make the GPU usable here: its driver" in done.stdout


def test_a_port_that_is_taken(redis_server: str, folder: Path) -> None:
    quiet = {"METRICS_PORT": "0"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = str(listener.getsockname()[1])

        def hang_up() -> None:
            listener.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        texts = found("ports", status=1, HOST="127.0.0.1", PORT=taken, **quiet)
        assert only(texts["problem"]) == f"port {taken} is taken by another program"
        texts = found("ports", HOST="127.0.0.1", PORT=str(free_port()), METRICS_PORT=taken)
        assert len(texts["ok"]) == 3
    with running(redis_server, folder, "producer") as service:
        texts = found("ports", HOST="127.0.0.1", PORT=str(service.port), **quiet)
        assert texts["ok"] == [f"port {service.port}: a producer runs there"]
    found("ports", status=1, HOST="192.0.2.1", **quiet)


def test_receivers_of_webhooks() -> None:
    assert set(found("webhooks")) == {"skipped"}
    received = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    if connection.recv(1) and not received.is_set():
                        received.set()

        threading.Thread(target=accept, daemon=True).start()
        port = listener.getsockname()[1]
        texts = found("webhooks", BACKEND_UPLOAD_URL=f"http://me:hunter2@127.0.0.1:{port}/hunter3")
        assert only(texts["ok"]) == (
            f"BACKEND_UPLOAD_URL=http://me:…@127.0.0.1:{port}/… can be reached"
            " (unsigned: no WEBHOOK_SECRET)"
        )
        assert not received.is_set()
        url = f"https://127.0.0.1:{port}/"  # a receiver without TLS, which closes
        found("webhooks", status=1, BACKEND_CALLBACK_URL=url)


@pytest.mark.parametrize(
    ("url", "proxy", "said"),
    [
        ("http://no-such-host.invalid/hunter2", "", "its name cannot be resolved"),
        ("http://127.0.0.1:{port}/hunter2", "", "Connection refused"),
        ("http://example.org/", "http://me:hunter2@127.0.0.1:{port}", "through the proxy"),
    ],
)
def test_receivers_that_cannot_be_reached(url: str, proxy: str, said: str) -> None:
    port = free_port()
    done = run(
        "webhooks",
        BACKEND_CALLBACK_URL=url.format(port=port), WEBHOOK_PROXY=proxy.format(port=port),
    )  # fmt: skip
    assert done.exit_code == 1
    assert said in done.stdout
    assert "hunter" not in done.stdout


def test_wrong_and_misspelled_settings() -> None:
    texts = found("settings", status=1, WEBP_QUALITY="best")
    assert only(texts["problem"]).startswith("WEBP_QUALITY='best': ")
    texts = found("settings", status=3, WEBP_QUALTY="80")
    assert "did you mean WEBP_QUALITY?" in only(texts["warning"])
    assert only(found("settings", API_KEYS="k" * 20)["ok"]).endswith("API keys: 1")


def test_limits_of_the_system() -> None:
    assert len(found("system")["ok"]) == 2
    texts = found(
        "system", status=3, MAX_EVENT_STREAMS="100000000", MEMORY_BUDGET_MB="100000000"
    )  # fmt: skip
    assert [text.partition(":")[0] for text in texts["warning"]] == ["open files", "memory"]


async def test_all_checks_are_shown_as_a_table(redis_server: str) -> None:
    done = await asyncio.to_thread(run, REDIS_URL=redis_server, METRICS_PORT="0")
    checks = ("settings", "redis", "storage", "model", "ports", "webhooks", "system")
    assert all(f" {check} " in done.stdout for check in checks)
    assert "`appendonly yes` in its configuration" in done.stdout
