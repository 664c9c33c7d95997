"""The committed JSON Schemas agree with the models."""

import json
import re
from typing import Any

import jsonschema
import pytest

from schemas.asyncapi import ASYNCAPI_FILE
from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import (
    Detection,
    ImageFailure,
    ImageResult,
    Progress,
    TaskState,
    TaskStatus,
)
from schemas.generate import FOLDER, asyncapi, rendered


@pytest.mark.parametrize("name", sorted(rendered()))
def test_committed_schema_is_fresh(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text == rendered()[name], "run: python -m schemas.generate"


def test_there_are_no_other_schemas() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(rendered())


def test_committed_asyncapi_document_is_fresh_and_every_reference_leads_somewhere() -> None:
    text = ASYNCAPI_FILE.read_text(encoding="utf-8")
    assert text == asyncapi(), "run: python -m schemas.generate"
    references = re.findall(r'"#/([^"]+)"', text)
    assert len(references) >= 10
    for reference in references:
        place = json.loads(text)
        for name in reference.split("/"):
            place = place[name]


def _validator(name: str) -> Any:
    schema = json.loads(rendered()[f"{name}.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_message_schema_agrees_with_the_model() -> None:
    validator = _validator("image-message")
    message = ImageMessage(task_id="t", index=1, total=2, object="t/input/1")
    assert validator.is_valid(message.model_dump(exclude_none=True))


@pytest.mark.parametrize(
    "fields",
    [
        {"task_id": "t", "object": "t/input/0"},
        {"v": 2, "task_id": "t", "object": "t/input/0"},
        {"v": 1, "task_id": "t"},
        {"v": 1, "task_id": "t", "object": "t/input/0", "image": "x"},
        {"v": 1, "task_id": "a/b", "object": "t/input/0"},
        {"v": 1, "task_id": "t", "index": -1, "object": "t/input/0"},
        {"v": 1, "task_id": "t", "total": None, "object": "t/input/0"},
    ],
)
def test_message_schema_refuses(fields: dict[str, object]) -> None:
    assert not _validator("image-message").is_valid(fields)


def test_state_schema_agrees_with_the_model() -> None:
    state = TaskState(
        task_id="t",
        status=TaskStatus.COMPLETED,
        results=[
            ImageResult(index=0, filename="a.webp", url="/a.webp"),
            ImageResult(
                index=1, filename="b.webp", url="/b.webp", needs_review=True,
                detections=[Detection(quad=((0, 1), (2, 1), (2, 3), (0, 3)), score=0.4)],
                model="0123456789ab", version=2,
            ),
        ],
        errors=[
            ImageFailure(
                index=2, filename=None, code=ImageErrorCode.CORRUPT_IMAGE, detail="Truncated."
            )
        ],
        progress=Progress(done=3, total=3),
        needs_review=True,
    )  # fmt: skip
    assert _validator("task-state").is_valid(json.loads(state.model_dump_json()))
