"""A checkpoint is evaluated at the size of the worker, not of its file."""

from pathlib import Path

import pytest

from consumer.settings import WorkerSettings
from models import evaluate

COMMAND = ["dataset", "--out", "out"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    monkeypatch.delenv("DETECT_IMGSZ", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("setting", "options", "expected"),
    [(None, [], 640), ("", [], 640), ("320", [], 320), ("320", ["--imgsz", "160"], 160)],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_the_size_is_the_worker_s_unless_an_option_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None, options: list[str],
    expected: int, in_file: bool,
) -> None:  # fmt: skip
    if setting is not None and in_file:
        (tmp_path / ".env").write_text(f"DETECT_IMGSZ={setting}\n")
    elif setting is not None:
        monkeypatch.setenv("DETECT_IMGSZ", setting)
    assert evaluate.parse([*COMMAND, *options]).imgsz == expected


@pytest.mark.parametrize("setting", ["", "64", "1280", "4096", " 640 ", "100", "32", "4128", "big"])
def test_the_setting_is_read_as_the_worker_reads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    monkeypatch.setenv("detect_imgsz", setting)
    try:
        expected = WorkerSettings().detect_imgsz
    except ValueError:
        with pytest.raises(SystemExit):
            evaluate.parse(COMMAND)
        assert "DETECT_IMGSZ: Input should be" in capsys.readouterr().err
    else:
        assert evaluate.parse(COMMAND).imgsz == expected
