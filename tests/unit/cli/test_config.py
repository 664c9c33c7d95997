"""`plate-detect config` shows what is in effect and where it comes from, and no secret."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import settings_table
from cli.main import app
from cli.masking import masked_address

SECRETS = {
    "REDIS_PASSWORD": "hunter1",
    "REDIS_SENTINEL_PASSWORD": "hunter2",
    "API_KEYS": "hunter3-hunter3-hunter3,hunter4-hunter4-hunter4",
    "WEBHOOK_SECRET": "whsec_aHVudGVyNWh1bnRlcjVodW50ZXI1",
    "WEBHOOK_PROXY": "http://me:hunter6@proxy:3128",
    "BACKEND_UPLOAD_URL": "https://me:hunter7@hooks.example.org/hunter8?token=hunter9",
    "BACKEND_CALLBACK_URL": "https://hooks.example.org/services/hunter10",
    "REDIS_URL": "redis://me:hunter11@redis.example.org:6380/3?password=hunter12",
    "PUBLIC_URL": "https://example.org/plates",
    "TASKS_STORAGE_URL": "s3://bucket/prefix",
    "AWS_SECRET_ACCESS_KEY": "hunter14",
    "AWS_SESSION_TOKEN": "hunter15",
    "AWS_ENDPOINT_URL": "https://me:hunter16@s3.example.org",
}


def rows(*options: str, **settings: str) -> dict[str, list[dict[str, Any]]]:
    done = CliRunner().invoke(app, ["config", "--json", *options], env=settings)
    assert done.exit_code == 0, done.output
    found: dict[str, list[dict[str, Any]]] = {}
    for row in map(json.loads, done.stdout.splitlines()):
        found.setdefault(row["name"], []).append(row)
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("options", [[], ["--json"], ["--changed"]])
@pytest.mark.parametrize("in_file", [True, False])
def test_no_secret_is_shown(options: list[str], in_file: bool, folder: Path) -> None:
    if in_file:
        (folder / ".env").write_text("".join(f"{k}='{v}'\n" for k, v in SECRETS.items()))
    done = CliRunner().invoke(app, ["config", *options], env={} if in_file else SECRETS)
    assert done.exit_code == 0, done.output
    assert "hunter" not in done.output
    assert "aHVudGVy" not in done.output
    for harmless in ("hooks.example.org", "redis.example.org:6380/3", "s3://bucket/prefix"):
        assert harmless in done.output


def test_each_setting_says_where_it_comes_from(folder: Path) -> None:
    (folder / ".env").write_text("# a comment\nPORT=8001\nDETECT_IMGSZ=320\nWEBP_QUALITY=\n")
    found = rows(DETECT_IMGSZ="960", COVER_MODE="")
    shown = {name: (row["value"], row["source"]) for name, (row, *_) in found.items()}
    assert shown["PORT"] == ("8001", ".env line 2")
    assert shown["DETECT_IMGSZ"] == ("960", "environment")
    assert shown["WEBP_QUALITY"] == ("90", "default")
    assert shown["COVER_MODE"] == ("image", "default")
    assert set(rows("--changed", DETECT_IMGSZ="960")) == {"PORT", "DETECT_IMGSZ"}


def test_every_setting_of_every_role_is_there() -> None:
    found = rows()
    assert set(found) == {setting.name for setting in settings_table.settings()}
    assert {tuple(row["roles"]): row["value"] for row in found["METRICS_PORT"]} == {
        ("worker",): "9101", ("dispatcher",): "9102",
    }  # fmt: skip


def test_the_port_of_a_service_of_kubernetes() -> None:
    (row,) = rows(REDIS_PORT="tcp://10.0.0.1:6390")["REDIS_PORT"]
    assert (row["value"], row["source"]) == ("6390", "Kubernetes")


def test_a_wrong_setting_is_one_line() -> None:
    done = CliRunner().invoke(app, ["config"], env={"WEBP_QUALITY": "best"})
    assert done.exit_code == 1
    assert done.stderr.startswith("plate-detect: WEBP_QUALITY='best': ")


def test_a_misspelled_name_is_reported() -> None:
    done = CliRunner().invoke(app, ["config"], env={"WEBP_QUALTY": "80"})
    assert "did you mean WEBP_QUALITY?" in done.stderr


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://host", "https://host"),
        ("https://host:8443/", "https://host:8443/"),
        ("https://host/secret?x=y", "https://host/…?…"),
        ("https://user:secret@host/", "https://user:…@host/"),
        ("https://token@host/", "https://…@host/"),
        ("https://[::1]:8000/path", "https://[::1]:8000/…"),
    ],
)
def test_an_address_without_what_may_be_secret(address: str, shown: str) -> None:
    assert masked_address(address) == shown
