"""Each line of `.env` sets what it seems to set, or stops the start; messages repeat no value."""

import os
from pathlib import Path

import pytest

from consumer.settings import DispatcherSettings
from producer.settings import ProducerSettings
from schemas.settings.base import Settings, SettingsError

KEY = "hunter2-hunter2-hunter2"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(folder: Path, text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    (folder / ".env").write_bytes(data)
    with pytest.raises(SettingsError) as caught:
        ProducerSettings.load()
    line = str(caught.value)
    assert "\n" not in line
    assert "hunter" not in line
    assert line.startswith(".env ")
    return line


@pytest.mark.parametrize(
    "line",
    [
        f"API_KEYS: {KEY}", f"API_KEYS:{KEY}", f"API_KEYS {KEY}", f"API_KEYS\uff1d{KEY}",
        "API_KEYS", "export API_KEYS", f"set API_KEYS={KEY}",
        f"$env:API_KEYS={KEY}", f'"API_KEYS"={KEY}', f'API_KEYS="{KEY}', f"API_KEYS='{KEY}",
        f'API_KEYS="{KEY}" x', f"API_KEYS+={KEY}", f"- API_KEYS={KEY}", f"; API_KEYS={KEY}",
        f"\u0410\u0420I_KEYS={KEY}", f"\u200bAPI_KEYS={KEY}", f"\uff21PI_KEYS={KEY}", KEY,
        f'{{"API_KEYS": "{KEY}"}}', "[producer]", "API_KEYS=${HUNTER2}", "API_KEYS=a${hunter}b",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "before", ["", "# a comment\r\n\r\nLOG_LEVEL=info\r\n", "\ufeffPORT=1\n\n"]
)
def test_a_line_that_sets_nothing_stops_the_start(line: str, before: str, folder: Path) -> None:
    number = before.count("\n") + 1
    assert refused(folder, f"{before}{line}\nLOG_FORMAT=json\n").startswith(f".env line {number} ")


@pytest.mark.parametrize(
    "text",
    [
        f"API_KEYS={KEY}", f"API_KEYS={KEY}\r\n", f"\ufeffAPI_KEYS={KEY}", f"export API_KEYS={KEY}",
        f"API_KEYS = {KEY}", f"API_KEYS ={KEY}", f'API_KEYS="{KEY}"', f"API_KEYS='{KEY}' # mine",
        f"api_keys={KEY}", f"# API_KEYS=x\n\n  API_KEYS={KEY}  ", f"API_KEYS=\nAPI_KEYS={KEY}",
        f"MINE={KEY}\nAPI_KEYS=${{MINE}}", f"API_KEYS=${{MINE:-{KEY}}}",
        f"OTHER='-----BEGIN\nx\n-----END'\nAPI_KEYS={KEY}", f"API_KEYS={KEY}\rLOG_LEVEL=info",
    ],
)  # fmt: skip
def test_other_spellings_of_the_line_set_the_key(text: str, folder: Path) -> None:
    (folder / ".env").write_bytes(text.encode())
    assert len(ProducerSettings.load().api_keys) == 1


@pytest.mark.parametrize(
    "text",
    [
        f'API_KEYS="{KEY}\nLOG_LEVEL=info\n"', f'LOG_FORMAT="json\nAPI_KEYS={KEY}\nX="',
        f'MINE="x\nAPI_KEYS={KEY}\nYOURS="',
    ],
)  # fmt: skip
def test_a_missing_quote_is_reported(text: str, folder: Path) -> None:
    assert "a quote is missing" in refused(folder, text)


@pytest.mark.parametrize("second", ["API_KEYS=", "api_keys=", f"API_KEYS={KEY}-2"])
def test_two_values_of_a_secret_stop_the_start(second: str, folder: Path) -> None:
    line = refused(folder, f"API_KEYS={KEY}\n{second}\n")
    assert line == ".env line 2 sets API_KEYS to another value than line 1"


def test_a_repeated_line_is_accepted(folder: Path) -> None:
    (folder / ".env").write_text(f"API_KEYS={KEY}\nAPI_KEYS={KEY}\nPORT=1\nPORT=2\n")
    settings = ProducerSettings.load()
    assert (settings.port, len(settings.api_keys)) == (2, 1)


def test_other_encodings_are_reported(folder: Path) -> None:
    text = f"API_KEYS={KEY}\n"
    assert "is not UTF-8" in refused(folder, text.encode("utf-16"))
    assert refused(folder, b"LOG_LEVEL=caf\xe9\n") == ".env is not UTF-8: see its byte 14"
    refused(folder, text.encode("utf-16-le"))


def test_a_folder_is_reported(folder: Path) -> None:
    (folder / ".env").mkdir()
    with pytest.raises(SettingsError, match=r"^\.env cannot be read: it is not a file$"):
        Settings.load()


def test_a_broken_link_is_reported(folder: Path) -> None:
    (folder / ".env").symlink_to(folder / "secrets")
    with pytest.raises(SettingsError, match=r"^\.env cannot be read: No such file or directory$"):
        Settings.load()
    (folder / ".env").unlink()
    (folder / ".env").symlink_to(os.devnull)
    assert Settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_KEYS", " "), ("API_KEYS", ","), ("API_KEYS", " , ,"), ("API_KEYS", "\t"),
        ("WEBHOOK_SECRET", " "), ("WEBHOOK_SECRET", ","), ("REDIS_PASSWORD", " "),
        ("REDIS_SENTINEL_PASSWORD", "\t "), ("REDIS_SENTINELS", ","),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_blank_secret_is_refused(
    name: str, value: str, place: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == ".env":
        (folder / ".env").write_text(f'{name}="{value}"\n')
    else:
        monkeypatch.setenv(name, value)
    model = DispatcherSettings if name == "WEBHOOK_SECRET" else ProducerSettings
    with pytest.raises(SettingsError, match=f"^{name}=") as caught:
        model.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_HOST", "redis://:hunter2@host"), ("REDIS_SENTINELS", "u:hunter2@host:x"),
        ("BACKEND_UPLOAD_URL", "http://u:hunter2/x@host"), ("REDIS_PORT", "redis://u:hunter2@h"),
        ("TASKS_STORAGE_URL", "s3://key:hunter2@bucket"),
    ],
)  # fmt: skip
def test_a_password_in_the_wrong_place_is_not_repeated(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}=…: ") as caught:
        DispatcherSettings.load()
    assert "hunter" not in str(caught.value)
