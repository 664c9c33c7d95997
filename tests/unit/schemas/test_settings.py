"""Settings: the seed's names and defaults, and one line for a wrong value."""

from pathlib import Path

import pytest

from consumer.settings import DispatcherSettings, WorkerSettings
from producer.settings import ProducerSettings
from schemas.settings import Settings, SettingsError


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


def test_storage_is_a_folder_here_by_default(tmp_path: Path) -> None:
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
