"""`python -m schemas.generate`: write the JSON Schemas and the AsyncAPI document."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas.asyncapi import ASYNCAPI_FILE, asyncapi_document
from schemas.contract.events import CompletionEvent, ResultUpdatedEvent
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import TaskState

FOLDER = Path(__file__).parent / "jsonschema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_MODELS: dict[str, type[BaseModel]] = {
    "image-message": ImageMessage,
    "completion-event": CompletionEvent,
    "result-updated-event": ResultUpdatedEvent,
    "task-state": TaskState,
}


def rendered() -> dict[str, str]:
    """Return the text of each schema by file name."""
    return {f"{name}.json": _text(model) for name, model in _MODELS.items()}


def asyncapi() -> str:
    """Return the text of the AsyncAPI document."""
    return _json(asyncapi_document(_schema(ImageMessage)))


def _text(model: type[BaseModel]) -> str:
    return _json({"$schema": DIALECT} | _schema(model))


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    return _as_in_the_stream(schema) if model is ImageMessage else schema


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _as_in_the_stream(schema: dict[str, Any]) -> dict[str, Any]:
    # A stream entry has no null: a field is present or absent. The default of `v` is for our own
    # code only. Exactly one of `object` and `image` is present.
    for field in schema["properties"].values():
        if "anyOf" in field:
            (kind,) = (kind for kind in field.pop("anyOf") if kind != {"type": "null"})
            field.update(kind)
        if field.get("default", ...) is None:
            del field["default"]
    del schema["properties"]["v"]["default"]
    schema["description"] += "\n\nIn the stream, numbers are decimal text."
    either = [{"required": ["object"]}, {"required": ["image"]}]
    return schema | {"required": ["v", *schema["required"]], "oneOf": either}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in rendered().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
    ASYNCAPI_FILE.write_text(asyncapi(), encoding="utf-8")
