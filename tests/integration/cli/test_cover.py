"""`plate-detect cover`: images are covered on this machine, and one that fails stops no other."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.images.covering import Coverer, Engine, FolderFullError
from cli.images.outcomes import Outcomes
from cli.images.results_folder import JOURNAL, ResultsFolder
from cli.images.sources import find_sources
from consumer.errors import BrokenDetectorError
from consumer.settings import WorkerSettings
from consumer.vision.networks import Networks
from tests.support.disks import small_disk
from tests.support.pictures import assert_covered, encoded, scene, scene_file
from tests.support.service import ROOT, wait_until
from tests.support.stand_in import StandInDetector

pytestmark = pytest.mark.integration


@dataclass
class Ended:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str
    rows: dict[str, dict[str, Any]]


def cover(folder: Path, *arguments: str, **settings: str) -> Ended:
    """Run the command in a folder, with `photos` and `out` in it."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "cover", *(arguments or ("photos",)),
         "--out", "out", "--json", "report.jsonl"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    report = folder / "report.jsonl"
    lines = report.read_text().splitlines() if report.exists() else []
    rows = {row["input"]: row for row in map(json.loads, lines)}
    return Ended(done.returncode, done.stdout, done.stderr, rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos in a tree, and one that is damaged."""
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    (tmp_path / "photos" / "a.jpg").write_bytes(scene_file(0))
    (tmp_path / "photos" / "a.png").write_bytes(scene_file(1, "PNG"))
    (tmp_path / "photos" / "deep" / "b.webp").write_bytes(scene_file(2, "WEBP"))
    (tmp_path / "photos" / "damaged.jpg").write_bytes(scene_file(3)[:-2000])
    return tmp_path


def test_a_folder_is_covered_with_the_real_model_and_continued(folder: Path) -> None:
    before = {path: path.read_bytes() for path in (folder / "photos").rglob("*.*")}
    first = cover(folder, REVIEW_CONFIDENCE="0")
    assert first.status == 1
    assert first.stdout == "3 covered, 1 failed\n"
    assert first.stderr.splitlines()[0].startswith(
        "plate-detect: photos/damaged.jpg: corrupt_image: "
    )
    assert {path: path.read_bytes() for path in before} == before
    for seed, name, output in (
        (0, "a.jpg", "a.webp"), (1, "a.png", "a.png.webp"), (2, "deep/b.webp", "deep/b.webp"),
    ):  # fmt: skip
        row = first.rows[f"photos/{name}"]
        assert (row["output"], row["status"], row["error"]) == (f"out/{output}", "covered", None)
        assert row["plates"] == len(row["detections"]) >= 1
        assert all(len(found["quad"]) == 4 for found in row["detections"])
        assert_covered(scene(seed), (folder / row["output"]).read_bytes())
    (folder / "photos" / "damaged.jpg").unlink()
    second = cover(folder, REVIEW_CONFIDENCE="0")
    assert (second.status, second.stdout) == (0, "3 unchanged\n")
    known = {name: {**row, "status": "unchanged"} for name, row in first.rows.items()}
    del known["photos/damaged.jpg"]
    assert second.rows == known


def test_doubtful_results_have_their_own_status(folder: Path) -> None:
    (folder / "photos" / "damaged.jpg").unlink()
    done = cover(folder, REVIEW_CONFIDENCE="1")
    assert done.status == 3
    assert done.stdout == "3 covered; 3 to review\n"
    assert "plate-detect: out/a.webp: needs review" in done.stderr.splitlines()


def test_the_command_needs_neither_server_nor_pytorch(folder: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['ultralytics'] = None\n"
        "from cli.main import app\n"
        "app(['cover', 'photos/a.jpg', '--out', 'out'])\n"
    )
    settings = {
        "PYTHONPATH": str(ROOT), "REDIS_URL": "redis://127.0.0.1:1/0", "REVIEW_CONFIDENCE": "0",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, **settings},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "1 covered\n"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["photos", "--json", "photos/a.jpg"], 2, "--json would overwrite photos/a.jpg"),
        (["."], 2, "--out must be outside of ."),
        (["empty"], 1, "there are no images"),
        (["photos/a.png", "--out", "photos/a.jpg/deeper"], 1, "Not a directory"),
    ],
)
def test_refusals_are_one_line_and_change_nothing(
    arguments: list[str], status: int, said: str, folder: Path
) -> None:
    (folder / "empty").mkdir()
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "cover", "--out", "out", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in before} == before


class Bench:
    """A folder of photos, and a run with a stand-in for the detector."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.photos, self.out, self.report = folder / "photos", folder / "out", folder / "report"
        self.photos.mkdir()
        self.settings = WorkerSettings(corners_model_path=None, **settings)
        self.detector = StandInDetector()

    def add(self, name: str) -> None:
        """Write a small photo."""
        (self.photos / name).write_bytes(encoded(scene().rgb[:64, :96], "PNG"))

    async def run(self) -> dict[str, dict[str, Any]]:
        """Cover all photos; return the rows of the report by the names of the photos."""
        engine = Engine(self.settings, Networks(self.detector))
        sources = find_sources([self.photos]).sources
        with (
            ResultsFolder.open(self.out, engine.made_with) as folder,
            self.report.open("wb") as report,
            Outcomes.shown(len(sources), report) as outcomes,
        ):
            await Coverer(engine, folder, outcomes).run(sources)
        rows = map(json.loads, self.report.read_text().splitlines())
        return {Path(row["input"]).name: row for row in rows}

    def codes(self, rows: dict[str, dict[str, Any]]) -> dict[str, str | None]:
        """Return the error code of each photo."""
        return {name: row["error"] and row["error"]["code"] for name, row in rows.items()}


async def test_many_images_at_a_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for number in range(40):
        bench.add(f"{number}.png")
    rows = await bench.run()
    assert set(bench.codes(rows).values()) == {None}
    assert len(list(bench.out.glob("*.webp"))) == 40
    assert {row["status"] for row in (await bench.run()).values()} == {"unchanged"}


async def test_changed_settings_make_results_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.add("a.png")
    await bench.run()
    bench.settings = bench.settings.model_copy(update={"cover_padding": 0.5})
    assert (await bench.run())["a.png"]["status"] == "covered"
    bench.detector.digest = "another model"
    assert (await bench.run())["a.png"]["status"] == "covered"
    bench.settings = bench.settings.model_copy(update={"processing_threads": 7})
    assert (await bench.run())["a.png"]["status"] == "unchanged"


async def test_each_failure_is_of_one_image(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_file_size_bytes=20_000, max_image_pixels=10_000)
    for name in ("good.png", "taken.png", "blocked.png"):
        bench.add(name)
    (bench.photos / "large.jpg").write_bytes(scene_file(0))
    (bench.photos / "wide.png").write_bytes(encoded(scene().rgb[:200, :200], "PNG", optimize=True))
    (bench.photos / "wide.png").write_bytes(
        encoded(scene().rgb[:200, :200] // 128, "PNG", optimize=True)
    )
    bench.out.mkdir()
    (bench.out / "taken.webp").write_bytes(b"precious")
    with ResultsFolder.open(bench.out, "earlier") as folder:
        folder.assign(find_sources([bench.photos / "blocked.png"]).sources)
    (bench.out / "blocked.webp").mkdir()
    assert bench.codes(await bench.run()) == {
        "good.png": None, "taken.png": "output_exists", "blocked.png": "cannot_write",
        "large.jpg": "file_too_large", "wide.png": "too_many_pixels",
    }  # fmt: skip
    assert (bench.out / "taken.webp").read_bytes() == b"precious"
    assert {path.name for path in bench.out.iterdir()} == {
        JOURNAL, "good.webp", "taken.webp", "blocked.webp",
    }  # fmt: skip


async def test_an_unexpected_error_is_of_one_image(tmp_path: Path) -> None:
    class Failing(StandInDetector):
        def detect(self, batch: Any) -> Any:
            if batch.shape[1] > batch.shape[2]:
                raise RuntimeError("out of memory")
            return super().detect(batch)

    bench = Bench(tmp_path)
    bench.detector = Failing()
    bench.add("good.png")
    (bench.photos / "tall.png").write_bytes(encoded(scene().rgb[:96, :32], "PNG"))
    rows = await bench.run()
    assert bench.codes(rows) == {"good.png": None, "tall.png": "internal_error"}
    assert rows["tall.png"]["error"]["detail"].endswith("RuntimeError: out of memory")


async def test_a_broken_network_ends_the_run(tmp_path: Path) -> None:
    class Broken(StandInDetector):
        def detect(self, batch: Any) -> Any:
            raise RuntimeError("device lost")

    bench = Bench(tmp_path)
    bench.detector = Broken()
    for number in range(20):
        bench.add(f"{number}.png")
    with pytest.raises(BrokenDetectorError, match="device lost"):
        await bench.run()
    assert not list(bench.out.glob("*.webp"))


async def test_a_full_disk_ends_the_run_and_the_next_one_continues(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for number in range(20):
        bench.add(f"{number:02}.png")
    with small_disk(bench.out, 1):
        filler = bench.out / "filler"
        filler.write_bytes(b"x" * 1_020_000)
        with pytest.raises(FolderFullError, match="No space left on device"):
            await bench.run()
        filler.unlink()
        rows = await bench.run()
        assert len(rows) == 20
        assert set(bench.codes(rows).values()) == {None}


def test_ctrl_c_ends_it_and_the_next_run_continues(folder: Path) -> None:
    photo = scene_file(0, width=1600)
    for number in range(80):  # so many that the first result is not nearly the last
        (folder / "photos" / f"{number}.jpg").write_bytes(photo)
    command = subprocess.Popen(
        [sys.executable, "-m", "cli", "cover", "photos", "--out", "out"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: list((folder / "out").glob("*.webp")), 60, "the first result")
    finally:
        command.send_signal(signal.SIGINT)
    assert command.wait(timeout=60) == 130
    made = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.webp")}
    assert 0 < len(made) < 83
    done = cover(folder)
    assert done.stdout.startswith(f"{83 - len(made)} covered, {len(made)} unchanged, 1 failed")
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert not list((folder / "out").rglob("*.part"))
