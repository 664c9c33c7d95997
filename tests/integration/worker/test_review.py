"""What a worker reports of its covers, and which classes it covers."""

import cv2
import numpy as np
import orjson
import pytest

from consumer.errors import ModelError
from consumer.vision.detect.detector import Detector
from consumer.vision.views.overlap import shared_part
from tests.integration.worker.conftest import KEYS, Bench, Start
from tests.support.pictures import assert_covered, encoded, scene, scene_file

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


async def test_scores_are_kept_and_the_threshold_decides(
    bench: Bench, worker: Start, model: Detector
) -> None:
    await bench.publish(task_id="t1", image=scene_file(7))
    async with worker(model, review_confidence=0.0, detections=False) as metrics:
        state = await bench.final("t1")
    outcome = orjson.loads(await bench.redis.hget(KEYS.task("t1"), "outcome:0"))
    assert (state.needs_review, state.results[0].needs_review) == (False, False)
    assert state.results[0].detections is None
    assert len(outcome["scores"]) == outcome["plates"] == 1
    assert metrics.needing_review._value.get() == 0

    [score] = outcome["scores"]
    await bench.publish(task_id="t2", image=scene_file(7))
    async with worker(model, review_confidence=score + 0.001) as metrics:
        event = await bench.event("t2")
    assert orjson.loads(event[b"payload"])["needs_review"] is True
    assert metrics.needing_review._value.get() == 1

    await bench.publish(task_id="t3", image=scene_file(7))
    async with worker(model, review_confidence=score):
        assert (await bench.final("t3")).needs_review is False


async def test_detections_lie_on_the_plates_of_the_result(
    bench: Bench, worker: Start, model: Detector
) -> None:
    await bench.publish(task_id="t1", index=0, total=2, image=scene_file(1, width=1400))
    grey = np.full((300, 500, 3), 120, np.uint8)
    await bench.publish(task_id="t1", index=1, total=2, image=encoded(grey))
    async with worker(model, review_confidence=1.0):
        event = await bench.event("t1")
        state = await bench.store.state("t1")
    assert state is not None
    assert event[b"payload"].decode() == state.model_dump_json()
    drawn = scene(1, 1400, 1400 * 2 // 3)
    result, nothing = state.results
    assert (result.needs_review, nothing.needs_review) == (True, False)
    assert nothing.detections == []
    assert result.detections is not None
    [found] = result.detections
    quad, plate = np.array(found.quad, np.float32), drawn.quads[0].astype(np.float32)
    assert shared_part(plate, quad) > 0.5
    assert cv2.contourArea(quad) < 2 * cv2.contourArea(plate), "the quad has no padding"
    assert 0.25 <= found.score <= 1
    outcome = orjson.loads(await bench.redis.hget(KEYS.task("t1"), "outcome:0"))
    assert outcome["scores"] == [found.score]


async def test_only_the_chosen_classes_are_covered(bench: Bench, worker: Start) -> None:
    await bench.publish(task_id="t1", filename="a.jpg", image=scene_file())
    async with worker(None, cover_classes="0"):
        await bench.final("t1")
    assert_covered(scene(), bench.result("t1", "covered_a.webp"))


async def test_a_worker_does_not_start_with_a_class_that_is_not_there(worker: Start) -> None:
    with pytest.raises(ModelError, match="no class 'lorry', but: 0 plate"):
        async with worker(None, cover_classes="plate,lorry"):
            pass
