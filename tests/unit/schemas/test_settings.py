"""Settings: documented defaults, and one line for a wrong value."""

from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis

from cli.embedded import RunSettings
from consumer.settings import DispatcherSettings, WorkerSettings
from producer.settings import ProducerSettings
from schemas.settings.base import Settings, SettingsError
from schemas.storage.storage import Storage


@pytest.fixture(autouse=True)
def no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("REDIS_HOST", "REDIS_URL", "REDIS_PORT", "TASKS_STORAGE_URL"):
        monkeypatch.delenv(variable, raising=False)


def test_defaults_of_the_documented_table() -> None:
    shared, worker, dispatcher = Settings.load(), WorkerSettings.load(), DispatcherSettings.load()
    assert (shared.redis_host, shared.redis_port) == ("localhost", 6379)
    assert shared.task_storage_ttl_hours == 48
    assert shared.max_files_per_request == 50
    assert shared.max_file_size_bytes == 20971520
    assert (worker.processing_device, worker.processing_batch_size) == ("cpu", 16)
    assert (dispatcher.backend_upload_url, dispatcher.backend_callback_url) == (None, None)
    assert ProducerSettings.load().port == 8000


def test_storage_is_a_local_folder_by_default(tmp_path: Path) -> None:
    assert Settings.load().storage_url == (tmp_path / "tasks_storage").as_uri()


def test_env_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        'BACKEND_UPLOAD_URL="http://host.docker.internal:8001/api/images/upload"\n', "utf-8"
    )
    url = DispatcherSettings.load().backend_upload_url
    assert url == "http://host.docker.internal:8001/api/images/upload"


def test_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_UPLOAD_URL", "")
    monkeypatch.setenv("REDIS_PORT", "")
    assert DispatcherSettings.load().backend_upload_url is None
    assert Settings.load().redis_port == 6379


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REDIS_PORT", "six"),
        ("PROCESSING_DEVICE", "gpu"),
        ("PROCESSING_BATCH_SIZE", "0"),
        ("TASK_STORAGE_TTL_HOURS", "-1"),
        ("KEY_PREFIX", "plates"),
        ("COVER_MODE", "blur"),
        ("DETECT_IMGSZ", "650"),
        ("REVIEW_CONFIDENCE", "-0.1"),
        ("REVIEW_CONFIDENCE", "1.5"),
        ("DETECTIONS", "some"),
        ("COVER_CLASSES", ","),
        ("COVER_CLASSES", "plate,,car"),
        ("TASK_STORAGE_TTL_HOURS", "inf"),
        ("TASK_STORAGE_TTL_HOURS", "1e300"),
        ("LEASE_SECONDS", "nan"),
        ("INFERENCE_TIMEOUT_SECONDS", "inf"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_wrong_value_is_named_in_one_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable) as caught:
        WorkerSettings.load()
    assert "\n" not in str(caught.value)
    assert value in str(caught.value)


def test_a_setting_of_several_types_names_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBP_METHOD", "7")
    with pytest.raises(SettingsError, match=r"^WEBP_METHOD='7': .* 6 or .* 'auto'$"):
        WorkerSettings.load()


def test_log_levels_may_be_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "INFO")
    assert Settings.load().log_level == "info"


def test_wrong_address_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKS_STORAGE_URL", "ftp://user:hunter2@host")
    with pytest.raises(SettingsError, match=r"TASKS_STORAGE_URL.*file://") as caught:
        Settings.load()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "classes"),
    [("", ()), ("plate", ("plate",)), (" number plate , 3", ("number plate", "3"))],
)
def test_classes_are_separated_by_commas(
    value: str, classes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVER_CLASSES", value)
    assert WorkerSettings.load().classes == classes


def test_shipped_files_are_found_from_any_folder() -> None:
    assert WorkerSettings.load().model_path.is_file()
    assert WorkerSettings.load().cover_image_path.is_file()


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379", "http://:hunter2@host", "redis://:hunter2@", "redis://:hunter2@host:x/0",
        "redis://u:hunter2/x@host:6379/0", "redis://:hunter2@host:70000",
    ],
)  # fmt: skip
def test_an_unusable_redis_address_is_refused_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(SettingsError, match=r"^REDIS_URL=….*rediss://") as caught:
        Settings.load()
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentinels"),
    [
        ("", []),
        ("a:26379", [("a", 26379)]),
        ("a:1, 10.0.0.2:2,[::1]:3", [("a", 1), ("10.0.0.2", 2), ("::1", 3)]),
    ],
)
def test_sentinels_are_separated_by_commas(
    text: str, sentinels: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_SENTINELS", text)
    assert Settings.load().sentinels == sentinels


@pytest.mark.parametrize("text", ["a", "a:", ":1", "a:0", "a:x", "a:65536", "a:1,b"])
def test_a_sentinel_without_host_or_port_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_SENTINELS", text)
    with pytest.raises(SettingsError, match=r"REDIS_SENTINELS.*host:port"):
        Settings.load()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"REDIS_SENTINELS": "a:1", "REDIS_URL": "redis://:hunter2@b"}, "exclude each other"),
        ({"REDIS_CLUSTER_NODES": "a:1", "REDIS_SENTINELS": "b:1"}, "exclude each other"),
        ({"REDIS_TLS": "true", "REDIS_URL": "redis://:hunter2@b"}, "begins with rediss://"),
        ({"REDIS_CERT_FILE": "client.pem", "REDIS_PASSWORD": "hunter2"}, "need TLS"),
        ({"REDIS_CA_FILE": "none.pem", "REDIS_TLS": "true"}, "REDIS_CA_FILE.*no certificates"),
        ({"REDIS_CERT_FILE": "none.pem", "REDIS_TLS": "true"}, "REDIS_CERT_FILE.*cannot be used"),
        ({"REDIS_KEY_FILE": "none.pem", "REDIS_TLS": "true"}, "REDIS_KEY_FILE needs"),
    ],
)
def test_redis_settings_that_contradict_each_other_stop_the_start(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said) as caught:
        Settings.load()
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_place_of_redis_contains_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "rediss://user:hunter2@host:7000/1")
    assert Settings.load().redis_place == "host:7000"
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("REDIS_TLS", "true")
    assert Settings.load().redis_address == "rediss://localhost:6379/0"
    monkeypatch.setenv("REDIS_SENTINELS", "a:1,b:2")
    assert Settings.load().redis_place == "the master mymaster of Sentinels a:1,b:2"


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_bucket_is_named_by_a_plain_address(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (f"{scheme}://plates", f"{scheme}://plates/a/b"):
        monkeypatch.setenv("TASKS_STORAGE_URL", address)
        assert Settings.load().storage_url == address
    for address in (f"{scheme}://", f"{scheme}://plates:80/a", f"{scheme}://plates/a?b"):
        monkeypatch.setenv("TASKS_STORAGE_URL", address)
        with pytest.raises(SettingsError, match=f"{scheme}://bucket/prefix"):
            Settings.load()


@pytest.mark.parametrize("url", ["file:///dev/null/tasks", "s3://"])
def test_unusable_storage_is_reported_in_one_line(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^TASKS_STORAGE_URL cannot be used: .+$"):
        Storage.open(url)


WRONG_FOLDERS = [
    "file://tasks_storage", "file://tasks_storage/", "file://host/srv/plates", "file://./tasks",
    "file://", "file:///", "file:////", "file://localhost", "file:///srv/..", "file:///%2E",
    "file:///srv/plates?x", "file:///srv/plates#1", "file:///srv/plates?", "file:///srv/plates#",
]  # fmt: skip


@pytest.mark.parametrize("url", WRONG_FOLDERS)
def test_an_ambiguous_folder_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files in the storage folder that belong to no task are deleted."""
    monkeypatch.setenv("TASKS_STORAGE_URL", url)
    with pytest.raises(SettingsError, match=r"^TASKS_STORAGE_URL=…: .*file:///absolute/folder"):
        Settings.load()
    with pytest.raises(SettingsError, match=r"^TASKS_STORAGE_URL cannot .*file:///absolute/folder"):
        Storage.open(url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("start", ["file://", "file://localhost"])
async def test_an_absolute_folder_is_used(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a folder, 50 % of it, #1?"
    monkeypatch.setenv("TASKS_STORAGE_URL", start + quote(str(folder)))
    await Storage.open(Settings.load().storage_url).put("t/output/a", b"x")
    assert (folder / "t" / "output" / "a").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("host", "address", "place"),
    [
        ("redis", "redis://redis:6379/0", "redis:6379"),
        ("my_redis.internal", "redis://my_redis.internal:6379/0", "my_redis.internal:6379"),
        ("10.0.0.7", "redis://10.0.0.7:6379/0", "10.0.0.7:6379"),
        ("::1", "redis://[::1]:6379/0", "[::1]:6379"),
        ("[::1]", "redis://[::1]:6379/0", "[::1]:6379"),
    ],
)
def test_every_kind_of_host_becomes_an_address(
    host: str, address: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_HOST", host)
    settings = Settings.load()
    assert (settings.redis_address, settings.redis_place) == (address, place)
    assert Redis.from_url(settings.redis_address).connection_pool.connection_kwargs[
        "host"
    ] == host.strip("[]")


@pytest.mark.parametrize(
    "host",
    [
        "redis:6380", "10.0.0.7:6379", "[::1]:6379", "a b", " localhost", "redis/0", "u@redis",
        "redis://redis", "[redis", "redis?x", "a,b:1",
    ],
)  # fmt: skip
def test_more_than_a_host_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_HOST", host)
    with pytest.raises(SettingsError, match=r"^REDIS_HOST='.*host") as caught:
        Settings.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["tcp://10.43.0.5:6380", "tcp://[fd00::5]:6380"])
def test_addresses_that_kubernetes_sets_are_understood(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REDIS_PORT", "METRICS_PORT", "EMBEDDED_REDIS_PORT", "PORT"):
        monkeypatch.setenv(name, address)
    monkeypatch.setenv("REDIS_HOST", "redis")
    worker = WorkerSettings.load()
    assert (worker.redis_address, worker.metrics_port) == ("redis://redis:6380/0", 9101)
    assert (ProducerSettings.load().port, RunSettings.load().embedded_redis_port) == (8000, 0)
    # A value in `.env` wins.
    (tmp_path / ".env").write_text("REDIS_PORT=7000\nMETRICS_PORT=9300\n")
    worker = WorkerSettings.load()
    assert (worker.redis_port, worker.metrics_port) == (7000, 9300)


@pytest.mark.parametrize("port", [6379, 6380])
def test_an_address_of_kubernetes_names_no_server(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_PORT", f"tcp://10.43.0.5:{port}")
    assert Settings.load().redis_place == f"localhost:{port}"
    assert not RunSettings.load().names_redis


@pytest.mark.parametrize(
    "address", ["tcp://10.43.0.5", "tcp://10.43.0.5:0", "tcp://:x", "http://h"]
)
def test_another_address_is_no_port(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", address)
    with pytest.raises(SettingsError, match=r"^REDIS_PORT='"):
        Settings.load()
