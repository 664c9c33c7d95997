"""`export-labels`: what people have added, as YOLO-OBB."""

import json

import pytest

from schemas.contract.corrections import CorrectionErrorCode, CorrectionMessage, CoversToAdd
from schemas.contract.tasks import Detection, ImageResult
from schemas.redis.corrections import CorrectionEnd, CorrectionStore
from schemas.redis.scripts import ensure_group
from tests.integration.cli.conftest import TTL_MS, Bench

pytestmark = pytest.mark.integration

SHA256 = "0123456789abcdef" * 4


async def completed(bench: Bench, task_id: str, *, detections: bool = False) -> str:
    entry, message = await bench.take(task_id)
    quad = ((0.0, 0.0), (20.0, 0.0), (20.0, 10.0), (0.0, 10.0))
    result = ImageResult(
        filename=message.output_name, url="/x",
        detections=[Detection(quad=quad, score=0.9)] if detections else None,
    )  # fmt: skip
    provenance = {"filename": message.filename, "input_sha256": SHA256}
    await bench.tasks.finish(entry, message, result, provenance)
    return message.output_name


async def correct(
    bench: Bench, task_id: str, name: str, x: float, code: CorrectionErrorCode | None = None
) -> None:
    store = CorrectionStore(bench.redis, bench.keys, task_ttl_ms=TTL_MS)
    covers = {"covers": [[[x, 10], [x + 40, 10], [x + 40, 30], [x, 30]]]}
    accepted = await store.add(
        task_id, name, f"c{x:g}", CoversToAdd.model_validate(covers), "by-key", max_backlog=9
    )
    await ensure_group(bench.redis, bench.keys.corrections, "workers")
    [[_, [[entry, _]]]] = await bench.redis.xreadgroup(
        "workers", "w", {bench.keys.corrections: ">"}
    )
    message = CorrectionMessage(task_id, 0)
    found = await store.begin(entry.decode(), message)
    assert found is not None
    ends = [CorrectionEnd(accepted.id, code, (100, 50))]
    file = "" if code else f"0.v{found.version + 1}-ab"
    await store.finish(entry.decode(), message, found.version, ends, file=file)


async def test_added_covers_become_labels(bench: Bench) -> None:
    name = await completed(bench, "t1", detections=True)
    await correct(bench, "t1", name, 20)
    await correct(bench, "t1", name, 90)
    await correct(bench, "t1", name, 500, CorrectionErrorCode.OUTSIDE_IMAGE)
    await completed(bench, "untouched")
    out = bench.folder / "out"
    for _ in range(2):
        done = await bench.cli("export-labels", "--out", str(out))
        assert done.exit_code == 0, done.output
    assert done.stdout.startswith("2 added covers; ")
    [label] = (out / "labels").iterdir()
    assert label.name == f"t1-{SHA256[:12]}.txt"
    assert label.read_text().splitlines() == [
        "0 0.200000 0.200000 0.600000 0.200000 0.600000 0.600000 0.200000 0.600000",
        "0 0.900000 0.200000 1.000000 0.200000 1.000000 0.600000 0.900000 0.600000",
        "0 0.000000 0.000000 0.200000 0.000000 0.200000 0.200000 0.000000 0.200000",
    ]
    [entry] = [json.loads(line) for line in (out / "images.jsonl").read_text().splitlines()]
    corrections = entry.pop("corrections")
    assert entry == {
        "label": f"labels/{label.name}", "filename": "t1.jpg", "sha256": SHA256,
        "width": 100, "height": 50, "detected": 1,
    }  # fmt: skip
    assert [(one["by"], one["task_id"]) for one in corrections] == [("by-key", "t1")] * 2


async def test_later_exports_add_to_earlier_ones(bench: Bench) -> None:
    out = bench.folder / "out"
    for x in (20, 30):  # the second one after the first task has expired
        await bench.redis.delete(bench.keys.task("t1"))
        await correct(bench, "t1", await completed(bench, "t1"), x)
        await bench.cli("export-labels", "--out", str(out))
    [label] = (out / "labels").iterdir()
    assert len(label.read_text().splitlines()) == 2
    [line] = (out / "images.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert (len(entry["corrections"]), entry["detected"]) == (2, None)


async def test_only_recent_corrections(bench: Bench) -> None:
    await correct(bench, "t1", await completed(bench, "t1"), 20)
    task = bench.keys.task("t1")
    end = json.loads(await bench.redis.hget(task, "corrected:c20") or b"")
    end["at"] -= 7_200_000
    await bench.redis.hset(task, "corrected:c20", json.dumps(end))
    for since, count in (("1h", 0), ("3h", 1)):
        out = bench.folder / since
        done = await bench.cli("export-labels", "--out", str(out), "--since", since)
        assert done.exit_code == 0, done.output
        assert len(list((out / "labels").iterdir())) == count
