"""The client's models are the service's contract."""

import json
from typing import Any

from plate_detect_client.files import source_files
from plate_detect_client.models import ImageErrorCode, Problem, TaskAccepted, TaskState, TaskStatus
from plate_detect_client.stream import INLINE_MAX_BYTES, PREFIX, entries
from schemas.generate import FOLDER
from schemas.settings.base import Settings

OPENAPI = json.loads((FOLDER.parent / "openapi.json").read_text(encoding="utf-8"))
STATE = json.loads((FOLDER / "task-state.json").read_text(encoding="utf-8"))
# What a reader of JSON need not agree about.
_LEFT_OUT = (
    "title", "description", "default", "minimum", "maximum", "examples", "pattern", "enum",
)  # fmt: skip
_ANY_CODE = {"type": "string"}


def shape(schema: Any) -> Any:
    """Return names, types and required fields of a schema; optional null counts as absent."""
    if isinstance(schema, list):
        return [shape(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kinds = schema.get("anyOf", [])
    if "default" in schema and schema["default"] is None and {"type": "null"} in kinds:
        (kind,) = (kind for kind in kinds if kind != {"type": "null"})
        return shape(kind)
    return {
        name: {key: shape(value) for key, value in part.items()}
        if name in ("properties", "$defs")
        else shape(part)
        for name, part in schema.items()
        if name not in _LEFT_OUT and not name.startswith("$schema")
    }


def test_the_state_of_a_task_has_the_same_fields() -> None:
    service, client = shape(STATE), shape(TaskState.model_json_schema())
    # A code may be newer than the client.
    assert service["$defs"].pop("ImageErrorCode") == _ANY_CODE
    assert client["$defs"]["ImageFailure"]["properties"]["code"] == _ANY_CODE
    service["$defs"]["ImageFailure"]["properties"]["code"] = _ANY_CODE
    assert client == service


def test_codes_and_statuses_are_those_of_the_service() -> None:
    assert list(ImageErrorCode) == STATE["$defs"]["ImageErrorCode"]["enum"]
    assert list(TaskStatus) == STATE["$defs"]["TaskStatus"]["enum"]


def test_the_other_bodies_have_the_fields_that_the_client_reads() -> None:
    models = OPENAPI["components"]["schemas"]
    assert set(TaskAccepted.model_fields) <= set(models["TaskAccepted"]["properties"])
    assert set(Problem.model_fields) == set(models["Problem"]["properties"])


def test_newer_fields_and_codes_are_accepted() -> None:
    state = TaskState.model_validate_json(
        json.dumps(
            {
                "task_id": "t", "status": "completed", "progress": {"done": 2, "total": 2},
                "results": [{"filename": "a.webp", "url": "/a", "version": 2}],
                "errors": [{"index": 1, "filename": None, "code": "eaten", "detail": "By a dog."}],
                "corrected": True,
            }
        )
    )  # fmt: skip
    assert state.errors[0].code == "eaten"
    assert state.results[0].detections is None
    assert state.status.is_final


def test_defaults_of_publish_are_those_of_the_settings() -> None:
    fields = Settings.model_fields
    assert fields["inline_max_bytes"].default == INLINE_MAX_BYTES
    assert fields["key_prefix"].default == PREFIX


def test_an_entry_has_the_fields_of_the_contract() -> None:
    schema = json.loads((FOLDER / "image-message.json").read_text(encoding="utf-8"))
    [entry] = entries(source_files([("a.jpg", b"x")]), "t", INLINE_MAX_BYTES)
    sent = set(entry.fields())
    assert set(schema["required"]) <= sent <= set(schema["properties"])
