"""`python -m schemas.generate`: write the JSON Schemas of the contract."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas.contract.events import CompletionEvent
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import TaskState

FOLDER = Path(__file__).parent / "jsonschema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_MODELS: dict[str, type[BaseModel]] = {
    "image-message": ImageMessage,
    "completion-event": CompletionEvent,
    "task-state": TaskState,
}


def rendered() -> dict[str, str]:
    """Return the text of each schema by file name."""
    return {f"{name}.json": _text(model) for name, model in _MODELS.items()}


def _text(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    if model is ImageMessage:
        schema = _as_in_the_stream(schema)
    return json.dumps({"$schema": DIALECT} | schema, indent=2, ensure_ascii=False) + "\n"


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
