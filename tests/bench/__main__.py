"""`python -m tests.bench`: real processes, real HTTP, real images, on this machine."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from cli.output import fail
from cli.settings_table import MODELS
from consumer.host import usable_cpus
from consumer.settings import WorkerSettings
from consumer.vision.views.tiling import AUTO_FROM_PIXELS
from schemas.settings.base import SettingsError
from tests.bench import images, measure, processes, report
from tests.bench.environment import tuning
from tests.bench.images import DRAWINGS, ImageSet
from tests.bench.measure import Load, ServiceFigures
from tests.bench.processes import BenchError
from tests.support.ports import free_port
from tests.support.tables import write_table

# Tasks, images of each, and tasks at once. Rounds of 15 s and more: at their beginning and end,
# together a third of a second, cores are idle.
LOADS = {"640": (16, 50, 8), "1920": (16, 20, 6), "1920-grain": (16, 20, 6), "4000": (12, 8, 4)}
OTHER_LOAD = (4, 8, 4)
MAX_BASELINE_ROUNDS = 2
_SHOWN_SETTINGS = ("MODEL_PATH", "INFERENCE_PRECISION", "WEBP_METHOD", "PROCESSING_THREADS")


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    sizes: Annotated[
        list[str], typer.Option("--size", help="A set of drawn scenes; may be repeated.")
    ] = list(DRAWINGS),  # noqa: B006 - typer copies it
    folder: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of images to send instead of drawn scenes."),
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
    write: Annotated[
        str,
        typer.Option(help="Write the table into README.md or docs/, at these marks."),
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder for bench.json and bench.png.")] = Path(
        "build/bench"
    ),
) -> None:
    """Measure throughput, latency and memory of the service on this machine.

    Settings of how to work are taken from the environment and `.env`, as for `plate-detect run`;
    Redis, storage and ports are the benchmark's own, without API keys and webhooks.
    """
    try:
        for model in MODELS.values():  # a wrong setting is reported by this process
            model.load()
        sets = [images.from_folder(folder)] if folder else [images.drawn(name) for name in sizes]
        results = []
        for one in sets:
            load = Load(*LOADS.get(one.name, OTHER_LOAD), rounds)
            results += asyncio.run(_measure(one, load, tilings, workers, baseline))
    except (SettingsError, BenchError, ValueError, OSError) as error:
        fail(str(error) or type(error).__name__)
    settings = {name: value for name, value in tuning().items() if name in _SHOWN_SETTINGS}
    whole = {"cores": usable_cpus(), "workers": workers, "settings": settings, "sets": results}
    out.mkdir(parents=True, exist_ok=True)
    report.write(whole, out)
    report.show(whole)
    if write:
        write_table(write, report.markdown(whole))
    print(f"\nwritten: {out / 'bench.json'}, {out / 'bench.png'}")


async def _measure(
    images: ImageSet, load: Load, tilings: list[str], workers: int, baseline: Path | None
) -> list[dict[str, Any]]:
    """Measure one set with each tiling that makes a difference for it, and the baseline once."""
    results: list[dict[str, Any]] = []
    naive: ServiceFigures | None = None
    with _files(images) as folder:
        for tiling in _tilings(images, tilings):
            settings = {"DETECT_TILING": tiling}
            _say(f"{images.name}, tiling {tiling}: single stages")
            costs, covers = await measure.stage_costs(folder, settings)
            _say(f"{images.name}, tiling {tiling}: the service")
            figures = await _service(images, load, settings, workers)
            if baseline and naive is None:
                _say(f"{images.name}: {baseline.name}")
                shorter = replace(load, rounds=min(load.rounds, MAX_BASELINE_ROUNDS))
                naive = await _baseline(baseline, images, shorter)
            measure.note_likeness(figures, covers, naive, images)
            results.append({
                "images": images.name, "tiling": tiling, "stage_costs": costs,
                "figures": figures.as_dict(), "naive": naive.as_dict() if naive else None,
                "efficiency": measure.efficiency(figures, costs["busy"]),
                "idle_over_stages": figures.idle_seconds["p50"] / sum(costs["idle"].values()),
            })  # fmt: skip
    return results


async def _service(
    images: ImageSet, load: Load, settings: dict[str, str], workers: int
) -> ServiceFigures:
    with tempfile.TemporaryDirectory() as work:
        async with processes.service(Path(work), settings, workers) as service:
            figures = await measure.throughput(service, images, load)
            if max(len(data) for _, data in images.files) <= WorkerSettings.load().inline_max_bytes:
                figures.publish_rate = await measure.direct(service, images, load)
            figures.idle_seconds = await measure.idle_latency(service, images)
            figures.saturated_submit_seconds = await measure.saturated_submits(
                service, images, figures.rate
            )
    return figures


async def _baseline(script: Path, images: ImageSet, load: Load) -> ServiceFigures:
    settings = WorkerSettings.load()
    checkpoint = settings.model_path
    if checkpoint.suffix != ".pt":
        # A baseline runs on torch, which reads no exported file: it gets what that came from.
        default = WorkerSettings.model_fields["model_path"].default
        checkpoint = WorkerSettings(model_path=default).model_path
    port = free_port()
    files = (script, checkpoint, settings.cover_image_path)
    command = [*(str(file.absolute()) for file in files), str(port)]
    with tempfile.TemporaryDirectory() as work:
        async with processes.baseline(Path(work), "naive", command, port) as service:
            return await measure.throughput(service, images, load)


@contextmanager
def _files(images: ImageSet) -> Iterator[Path]:
    """Write the images into a folder, for the process that measures the stages."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for file, data in images.files:
            (folder / "images" / file).write_bytes(data)
        yield folder


def _tilings(images: ImageSet, wanted: list[str]) -> list[str]:
    """Drop what would only repeat: `auto` does nothing on small images."""
    size = DRAWINGS.get(images.name)
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


if __name__ == "__main__":
    _end_on_signals()
    app(prog_name="python -m tests.bench")
