"""`plate-detect export`: write a checkpoint as a file for ONNX Runtime or OpenVINO."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.output import fail
from consumer.errors import ImageError, ModelError
from consumer.settings import WorkerSettings
from schemas.settings.base import SettingsError


def export(
    form: Annotated[
        Literal["onnx", "openvino"], typer.Option("--format", help="What to write.")
    ] = "openvino",
    model: Annotated[
        Path | None, typer.Option(help="The checkpoint, a .pt file; default: MODEL_PATH.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write; default: beside the checkpoint.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of photographs to compare on, beside drawn scenes."),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="For OpenVINO: faster, and judged by how many plates it covers. Half of --images"
            " calibrates it; they should be like what the service will get.",
        ),
    ] = False,
) -> None:
    """Write a checkpoint for another runtime; refused unless it finds the same plates there.

    A worker on the CPU runs the OpenVINO file beside the checkpoint that MODEL_PATH names. It may
    also name the file itself: .xml runs on OpenVINO, .onnx on ONNX Runtime.
    """
    try:
        from models.export.files import SUFFIXES, export_int8
        from models.export.files import export as write
        from models.export.parity import ParityError
    except ModuleNotFoundError as error:
        fail(f"not exported: it needs PyTorch and ultralytics, here {error.name} is missing")

    try:
        settings = WorkerSettings.load()
    except SettingsError as error:
        fail(str(error))
    checkpoint = model or settings.model_path
    if int8 and (form != "openvino" or images is None):
        raise typer.BadParameter("--int8 goes with --format openvino and --images")
    name = f"{checkpoint.stem}-int8" if int8 else checkpoint.stem
    target = output or checkpoint.with_name(name + SUFFIXES[form])
    if target.suffix != SUFFIXES[form]:
        raise typer.BadParameter(f"--output must end in {SUFFIXES[form]}")
    try:
        if int8 and images is not None:
            fidelity = export_int8(checkpoint, target, images, settings.detect_imgsz)
            print(
                f"{target}: covers {fidelity.recall:.1%} of the {fidelity.plates} plates that the"
                f" checkpoint finds on {fidelity.images} images"
            )
            return
        parity = write(checkpoint, target, form, images, settings.detect_imgsz)
    except (ModelError, ImageError, ParityError, OSError) as error:
        fail(f"not exported: {error}")
    print(
        f"{target}: the same {parity.plates} plates on {parity.images} images, corners within"
        f" {parity.pixels:.3f} px, scores within {parity.score:.4f}"
    )
