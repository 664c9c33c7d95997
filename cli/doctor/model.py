"""The networks: their files, the engine and the precision that they run with, and that they run."""

import asyncio
import platform
import time
from collections.abc import AsyncIterator
from pathlib import Path

from cli.doctor.findings import Finding, Installation, ok, problem
from consumer.errors import ConsumerError
from consumer.host import usable_cpus
from consumer.settings import WorkerSettings
from schemas.contract.tasks import MODEL_DIGITS


async def check_model(installation: Installation) -> AsyncIterator[Finding]:
    """Load the networks as a worker does, and run the detector once."""
    settings = installation.worker
    for name, path in (
        ("MODEL_PATH", settings.model_path),
        ("CORNERS_MODEL_PATH", settings.corners_model_path),
    ):
        if path is not None and not _exists(path, name):
            yield problem(f"{name}={path}: there is no such file", f"set {name}, or put it there")
            return
    try:
        findings = await asyncio.to_thread(_loaded, settings)
    except ConsumerError as error:
        device = settings.processing_device
        text = str(error) if device == "cpu" else f"PROCESSING_DEVICE={device}: {error}"
        yield problem(text, _mend(settings))
        return
    for finding in findings:
        yield finding


def _exists(path: Path, name: str) -> bool:
    # An export beside a checkpoint is enough.
    exports = [path.with_suffix(".xml"), path.with_name(f"{path.stem}-int8.xml")]
    return path.is_file() or (name == "MODEL_PATH" and any(each.is_file() for each in exports))


def _loaded(settings: WorkerSettings) -> list[Finding]:
    import numpy as np

    from consumer.vision.detect.backends.exported import has_amx
    from consumer.vision.networks import cpu_file
    from consumer.worker.process import networks_of, stub_of

    device, precision = settings.processing_device, settings.inference_precision
    features = _features() if device == "cpu" else []
    file = settings.model_path
    if device == "cpu":
        file = cpu_file(file, precision, fast_bfloat16=has_amx())
    stub_of(settings)
    networks = networks_of(settings)
    side = -(-networks.detector.imgsz // 32) * 32
    batch = np.zeros((1, side, side, 3), np.uint8)
    started = time.perf_counter()
    networks.run("detector", batch)
    milliseconds = (time.perf_counter() - started) * 1000
    engine = {".xml": "OpenVINO", ".onnx": "ONNX Runtime"}.get(file.suffix, "PyTorch")
    second = networks.corners.name if networks.corners is not None else "none"
    return [
        ok(f"device {device}: {_machine(features) if device == 'cpu' else 'found'}"),
        ok(f"{file.name} ({networks.digest[:MODEL_DIGITS]}), second stage {second}"),
        ok(f"{engine}, {_precision(file, settings, features)}: {milliseconds:.0f} ms for one pass"
           f" of {settings.forward_threads} thread(s), {settings.forward_passes} at a time"),
    ]  # fmt: skip


def _features() -> list[str]:
    from consumer.vision.detect.no_telemetry import import_openvino

    core = import_openvino().Core()
    return [str(each) for each in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")]


def _machine(features: list[str]) -> str:
    from consumer.vision.detect.backends.exported import has_amx

    known = [each for each in ("FP32", "FP16", "BF16", "INT8") if each in features]
    amx = ", AMX" if has_amx() else ""
    return f"{usable_cpus()} CPU(s), {platform.machine()}, {' '.join(known)}{amx}"


def _precision(file: Path, settings: WorkerSettings, features: list[str]) -> str:
    if settings.inference_precision != "auto":
        return settings.inference_precision
    if settings.processing_device != "cpu":
        return "float16"
    if file.stem.endswith("-int8"):
        return "INT8"
    return "bfloat16" if file.suffix == ".xml" and "BF16" in features else "float32"


def _mend(settings: WorkerSettings) -> str:
    if settings.processing_device != "cpu":
        return (
            "set PROCESSING_DEVICE=cpu, or make the GPU usable here: its driver, and PyTorch with"
            " CUDA (Docker: target cuda, profile gpu)"
        )
    return "set MODEL_PATH and CORNERS_MODEL_PATH, or write the export again: plate-detect export"
