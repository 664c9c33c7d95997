"""`plate-detect export-labels`: covers that people have added, as labels for training."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from cli.admin.commands import seconds
from cli.admin.connection import AdminContext, run_connected
from schemas.contract.names import base_name, portable_name
from schemas.redis.corrected_results import CorrectedResult, corrected_results
from schemas.redis.corrections import Covers

INDEX = "images.jsonl"
_PLATE_CLASS = 0
_MAX_STEM = 100


def export_labels(
    out: Annotated[Path, typer.Option(help="Folder to write into; may have earlier labels.")],
    since: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="AGE", help="Only corrections of the last, e.g., 2d."),
    ] = None,
) -> None:
    """Write the covers that people have added as YOLO-OBB labels, for training.

    One file per image in OUT/labels, and a line with its name and SHA-256 in OUT/images.jsonl: the
    service has deleted the image. Run it at least once in TASK_STORAGE_TTL_HOURS.
    """
    run_connected(lambda context: _export(context, out, since))


async def _export(context: AdminContext, out: Path, since: float | None) -> None:
    now_seconds, _ = await context.redis.time()
    since_ms = 0 if since is None else int((now_seconds - since) * 1000)
    (out / "labels").mkdir(parents=True, exist_ok=True)
    images, covers = _known_images(out / INDEX), 0
    async for result in corrected_results(context.redis, context.keys, since_ms=since_ms):
        label = f"labels/{_stem(result)}.txt"
        added = [quad for correction in result.added for quad in correction.covers]
        lines = _lines(added, result) + _lines(result.detected or (), result)
        _add_lines(out / label, lines)
        images[label] = _entry(label, result, images.get(label))
        covers += len(added)
    _write(out / INDEX, (orjson.dumps(entry).decode() for entry in images.values()))
    print(f"{covers} added covers; {out / INDEX} lists {len(images)} images")


def _stem(result: CorrectedResult) -> str:
    """Return a name that no other image has, and equal images share."""
    stem = portable_name(base_name(result.filename)).rpartition(".")[0] or "image"
    return f"{stem[:_MAX_STEM]}-{result.sha256[:12] or result.task_id}"


def _lines(quads: Covers, result: CorrectedResult) -> list[str]:
    """Return lines `class x1 y1 x2 y2 x3 y3 x4 y4`, in parts of the image's width and height."""
    return [
        " ".join(
            [str(_PLATE_CLASS)]
            + [
                f"{min(max(value / size, 0.0), 1.0):.6f}"
                for corner in quad
                for value, size in zip(corner, (result.width, result.height), strict=True)
            ]
        )
        for quad in quads
    ]


def _add_lines(file: Path, lines: Sequence[str]) -> None:
    before = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    _write(file, dict.fromkeys([*before, *lines]))


def _entry(label: str, result: CorrectedResult, before: dict[str, Any] | None) -> dict[str, Any]:
    made = [] if before is None else before["corrections"]
    new = [
        {
            "at": datetime.fromtimestamp(one.at_ms / 1000, UTC).isoformat(timespec="milliseconds"),
            "by": one.by, "task_id": result.task_id, "covers": one.covers,
        }
        for one in result.added
    ]  # fmt: skip
    return {
        "label": label, "filename": result.filename, "sha256": result.sha256,
        "width": result.width, "height": result.height,
        "detected": None if result.detected is None else len(result.detected),
        "corrections": made + [one for one in new if one not in made],
    }  # fmt: skip


def _known_images(file: Path) -> dict[str, dict[str, Any]]:
    lines = file.read_bytes().splitlines() if file.exists() else []
    return {entry["label"]: entry for entry in map(orjson.loads, lines)}


def _write(file: Path, lines: Iterable[str]) -> None:
    """Replace a file in one step."""
    partial = file.with_name(f".{file.name}.part")
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    partial.replace(file)
