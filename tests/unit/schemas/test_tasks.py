"""Results and states of this version and of older ones, which lack the newer fields."""

import json

import pytest
from pydantic import ValidationError

from schemas.contract.events import CompletionEvent
from schemas.contract.tasks import Detection, ImageResult, TaskState

OLD_RESULT = {"filename": "a.webp", "url": "/a.webp"}
OLD_STATE = {
    "task_id": "t", "status": "completed", "results": [OLD_RESULT], "errors": [],
    "progress": {"done": 1, "total": 1},
}  # fmt: skip


def test_an_old_result_lacks_what_is_newer() -> None:
    result = ImageResult.model_validate(OLD_RESULT)
    assert (result.index, result.needs_review, result.detections) == (None, False, None)
    assert (result.model, result.version) == (None, 0)
    assert json.loads(result.model_dump_json()) == OLD_RESULT


def test_an_old_event_is_read() -> None:
    event = CompletionEvent(
        event_id="evt_t", type="task.completed", task_id="t", payload=json.dumps(OLD_STATE)
    )
    assert event.state.needs_review is False
    assert event.state.results[0].needs_review is False


def test_an_empty_list_of_detections_is_kept() -> None:
    result = ImageResult(filename="a.webp", url="/a.webp", detections=[])
    assert json.loads(result.model_dump_json())["detections"] == []
    assert ImageResult.model_validate_json(result.model_dump_json()) == result


def test_a_state_and_its_json_are_equal() -> None:
    quad = ((0.1, 2.0), (3.3, 4.0), (5.0, 6.0), (-7.5, 8.0))
    result = ImageResult(
        filename="a.webp", url="/a.webp", needs_review=True,
        detections=[Detection(quad=quad, score=0.123)],
        model="0123456789ab", version=1,
    )  # fmt: skip
    state = TaskState.model_validate({**OLD_STATE, "results": [result], "needs_review": True})
    text = state.model_dump_json()
    assert TaskState.model_validate_json(text) == state
    assert TaskState.model_validate_json(text).model_dump_json() == text


@pytest.mark.parametrize("corners", [3, 5])
def test_a_quad_has_four_corners(corners: int) -> None:
    with pytest.raises(ValidationError):
        Detection(quad=((0, 0),) * corners, score=0.5)
