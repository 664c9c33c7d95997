"""Limits that follow from others, and values that stop the start."""

import pytest

from producer.__main__ import main
from producer.settings import ProducerSettings


def test_request_limit_lets_the_other_two_be_used_up() -> None:
    settings = ProducerSettings(_env_file=None, max_files_per_request=3, max_file_size_bytes=1000)
    assert 3000 < settings.max_request_bytes < 3000 + 2 * 1024 * 1024


@pytest.mark.parametrize("given", [1, 500])
def test_request_limit_can_be_set(given: int) -> None:
    settings = ProducerSettings(_env_file=None, max_request_size_mb=given)
    assert settings.max_request_bytes == given * 1024 * 1024


def test_each_setting_is_described() -> None:
    assert all(field.description for field in ProducerSettings.model_fields.values())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"PORT": "http"}, "PORT='http'"),
        ({"MAX_FILE_SIZE_BYTES": "0"}, "MAX_FILE_SIZE_BYTES='0'"),
        ({"TASKS_STORAGE_URL": "ftp://x"}, "TASKS_STORAGE_URL"),
        ({"HOST": "localhost:8000"}, "HOST='localhost:8000'"),
        ({"PUBLIC_URL": "example.org/plates"}, "PUBLIC_URL"),
        ({"ALLOWED_ORIGINS": "https://a.example/path"}, "ALLOWED_ORIGINS='https://a.example/path'"),
        ({"ALLOWED_ORIGINS": "https://a.example,b.example"}, "ALLOWED_ORIGINS"),
    ],
)
def test_wrong_setting_is_one_line(
    settings: dict[str, str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
