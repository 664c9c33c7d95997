"""`plate-detect bench`: real processes, real HTTP, real images, on this machine."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import embedded
from cli.settings_table import MODELS
from consumer.cpus import usable_cpus
from consumer.settings import WorkerSettings
from consumer.vision.tiling import AUTO_FROM_PIXELS
from schemas.settings.base import SettingsError
from tests.bench import pictures as picture_sets
from tests.bench import surroundings
from tests.bench.pictures import DRAWINGS, PictureSet

if TYPE_CHECKING:  # it needs the extra `bench`
    from tests.bench.measure import Figures

# Tasks, images of each, and tasks at once. Rounds of 15 s and more: at their beginning and end,
# together a third of a second, cores are idle.
LOADS = {"640": (16, 50, 8), "1920": (16, 20, 6), "1920-grain": (16, 20, 6), "4000": (12, 8, 4)}
OTHER_LOAD = (4, 8, 4)
NAIVE_ROUNDS = 2
_SHOWN_SETTINGS = ("MODEL_PATH", "INFERENCE_PRECISION", "WEBP_METHOD", "PROCESSING_THREADS")


def bench(
    sizes: Annotated[
        list[str], typer.Option("--size", help="A set of drawn scenes; may be repeated.")
    ] = list(DRAWINGS),  # noqa: B006 - typer copies it
    images: Annotated[
        Path | None, typer.Option(help="Folder of images to send instead of drawn scenes.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each measurement.")] = 3,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    tilings: Annotated[
        list[str], typer.Option("--tiling", help="DETECT_TILING to measure; may be repeated.")
    ] = ["off", "auto"],  # noqa: B006
    baseline: Annotated[
        Path | None,
        typer.Option(help="Script of a service to compare with (tests/bench/naive.py)."),
    ] = None,
    readme: Annotated[
        str,
        typer.Option(help="Write the table into ./README.md, between the markers of this name."),
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder for bench.json and bench.png.")] = Path(
        "build/bench"
    ),
) -> None:
    """Measure throughput, latency and memory of the service on this machine.

    Settings of how to work are taken from the environment and `.env`, as for `run`; Redis, storage
    and ports are the bench's own, without API keys and webhooks. Needs the extra `bench`.
    """
    try:
        import matplotlib as mpl  # noqa: F401
        import psutil  # noqa: F401
    except ImportError:
        _fail("bench needs: pip install 'plate-detect[bench]'")
    from tests.bench import measure, report
    from tests.bench.processes import BenchError

    _end_on_signals()
    try:
        for model in MODELS.values():  # a wrong setting is said now, by this process
            model.load()
        settings = WorkerSettings.load()
        if images:
            chosen = [picture_sets.from_folder(images)]
        else:
            chosen = [picture_sets.drawn(name) for name in sizes]
        results = []
        for pictures in chosen:
            load = measure.Load(*LOADS.get(pictures.name, OTHER_LOAD), rounds)
            results += asyncio.run(_measure(pictures, load, tilings, workers, baseline, settings))
    except (SettingsError, BenchError, ValueError, OSError) as error:
        _fail(str(error) or type(error).__name__)
    told = surroundings.tuning()
    shown = {name: told[name] for name in _SHOWN_SETTINGS if name in told}
    whole = {"cores": usable_cpus(), "workers": workers, "settings": shown, "sets": results}
    out.mkdir(parents=True, exist_ok=True)
    report.write(whole, out)
    report.show(whole)
    if readme:
        report.write_readme(whole, Path("README.md"), readme)
    print(f"\nwritten: {out / 'bench.json'}, {out / 'bench.png'}")


async def _measure(
    pictures: PictureSet, load: Any, tilings: list[str], workers: int,
    baseline: Path | None, settings: WorkerSettings,
) -> list[dict[str, Any]]:  # fmt: skip
    """Measure one set with each tiling that makes a difference for it, and the baseline once."""
    from tests.bench import measure

    results: list[dict[str, Any]] = []
    naive: measure.Figures | None = None
    with _files(pictures) as folder:
        for tiling in _tilings(pictures, tilings):
            environment = {"DETECT_TILING": tiling}
            _say(f"{pictures.name}, tiling {tiling}: single stages")
            # In this thread, as all that is started: its end would end them (see guard.py).
            costs, covers = measure.stage_costs(folder, environment)
            _say(f"{pictures.name}, tiling {tiling}: the service")
            figures = await _service(pictures, load, environment, workers, settings)
            if baseline and naive is None:
                _say(f"{pictures.name}: {baseline.name}")
                shorter = replace(load, rounds=min(load.rounds, NAIVE_ROUNDS))
                naive = await _naive(baseline, settings, pictures, shorter)
            measure.note_likeness(figures, covers, naive, pictures)
            results.append({
                "pictures": pictures.name, "tiling": tiling, "stage_costs": costs,
                "figures": figures.as_dict(), "naive": naive.as_dict() if naive else None,
                "efficiency": measure.efficiency(figures, costs["busy"]),
                "idle_over_stages": figures.idle_seconds["p50"] / sum(costs["idle"].values()),
            })  # fmt: skip
    return results


async def _service(
    pictures: PictureSet, load: Any, environment: dict[str, str], workers: int,
    settings: WorkerSettings,
) -> "Figures":  # fmt: skip
    from tests.bench import measure, processes

    with (
        tempfile.TemporaryDirectory() as work,
        processes.service(Path(work), environment, workers) as roles,
    ):
        figures = await measure.throughput(roles, pictures, load)
        if max(len(data) for _, data in pictures.files) <= settings.inline_max_bytes:
            figures.publish_rate = await measure.direct(roles, pictures, load)
        figures.idle_seconds = await measure.idle_latency(roles, pictures)
        figures.saturated_submit_seconds = await measure.saturated_submits(
            roles, pictures, figures.rate
        )
    return figures


async def _naive(
    script: Path, settings: WorkerSettings, pictures: PictureSet, load: Any
) -> "Figures":
    from tests.bench import measure, processes

    port = embedded.free_port()
    command = _naive_command(script, settings, port)
    with (
        tempfile.TemporaryDirectory() as work,
        processes.single(Path(work), "naive", command, port) as roles,
    ):
        return await measure.throughput(roles, pictures, load)


def _naive_command(script: Path, settings: WorkerSettings, port: int) -> list[str]:
    checkpoint = settings.model_path
    if checkpoint.suffix != ".pt":
        # A baseline runs on torch, which reads no exported file: it gets what that came from.
        default = WorkerSettings.model_fields["model_path"].default
        checkpoint = WorkerSettings(model_path=default).model_path
    files = (script, checkpoint, settings.cover_image_path)
    return [sys.executable, *(str(file.absolute()) for file in files), str(port)]


@contextmanager
def _files(pictures: PictureSet) -> Iterator[Path]:
    """Lay the images into a folder, for the process that measures the stages."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for file, data in pictures.files:
            (folder / "images" / file).write_bytes(data)
        yield folder


def _tilings(pictures: PictureSet, wanted: list[str]) -> list[str]:
    """Drop what would only repeat: `auto` does nothing on small images."""
    size = DRAWINGS.get(pictures.name)
    if size and size.width * size.height < AUTO_FROM_PIXELS and "off" in wanted:
        return [tiling for tiling in wanted if tiling != "auto"]
    return wanted


def _end_on_signals() -> None:
    """End in order on the usual signals: what was started is stopped, what it wrote deleted.

    On Ctrl-C too: asyncio's own way would wait until a blocking call has returned.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _say(text: str) -> None:
    print(f"plate-detect: {text}", file=sys.stderr, flush=True)


def _fail(reason: str) -> None:
    print(f"plate-detect: {reason}", file=sys.stderr)
    raise typer.Exit(1)
