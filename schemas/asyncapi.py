"""The AsyncAPI 3 document of the streams: what other services publish and read in Redis.

`python -m schemas.generate` writes it to schemas/asyncapi.json, from the models of the contract.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.contract.events import CompletionEvent, ResultUpdatedEvent
from schemas.contract.tasks import TaskState

Json = dict[str, Any]

ASYNCAPI_FILE = Path(__file__).parent / "asyncapi.json"
VERSION = "1"
"""Of the contract: `v` of an image's entry."""
_INTRODUCTION = """\
A service that can connect to Redis sends images and learns of results without HTTP.

Every message is one entry of a Redis stream: flat fields, UTF-8, and `image` raw bytes. Numbers are
decimal text. All keys begin with KEY_PREFIX (`{plates}` by default). Entries are delivered at least
once; readers use a consumer group of their own."""


def asyncapi_document(image_message: Json) -> Json:
    """Return the document; ``image_message``: the JSON Schema of an entry of an image."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "plate-detect streams",
            "version": VERSION,
            "description": _INTRODUCTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/x-redis-stream-entry",
        "servers": {
            "redis": {
                "host": "localhost:6379",
                "protocol": "redis",
                "description": "The server of REDIS_URL, or of REDIS_HOST and REDIS_PORT",
            }
        },
        "channels": {
            "images": _channel("{plates}:images", "Images to cover.", "image"),
            "events": _channel(
                "{plates}:events",
                "One entry for each task that ended, and one for each new version of a result. Kept"
                " for TASK_STORAGE_TTL_HOURS. Skip types that you do not know.",
                "taskEnded",
                "resultUpdated",
            ),
            "deadLetters": _channel(
                "{plates}:dead-letters",
                "Entries that break the contract, and images that were given up. Kept for"
                " DEAD_LETTER_TTL_HOURS.",
                "deadLetter",
            ),
        },
        "operations": {
            "sendImage": _operation("receive", "images", "image", "Send one image: one XADD"),
            "readEvents": _operation("send", "events", "taskEnded", "Read how tasks ended"),
            "readUpdates": _operation(
                "send", "events", "resultUpdated", "Read which results were corrected"
            ),
            "readDeadLetters": _operation(
                "send", "deadLetters", "deadLetter", "Read what could not be processed, and why"
            ),
        },
        "components": {
            "messages": {
                "image": _message("One image of a task", image_message),
                "taskEnded": _message(
                    "A task is completed or failed", CompletionEvent.model_json_schema()
                ),
                "resultUpdated": _message(
                    "Covers were added to a result", ResultUpdatedEvent.model_json_schema()
                ),
                "deadLetter": _message("A refused entry, without pixels", _DEAD_LETTER),
            },
            "schemas": _schemas(TaskState),
        },
    }


def _channel(address: str, description: str, *messages: str) -> Json:
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages},
    }


def _operation(action: str, channel: str, message: str, summary: str) -> Json:
    # As AsyncAPI 3 defines it, from the view of this service: it receives images.
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _message(title: str, schema: Json) -> Json:
    return {"title": title, "payload": schema}


def _schemas(model: type[BaseModel]) -> Json:
    """Return the schemas of a model and of all models in it, by name."""
    _, schemas = models_json_schema(
        [(model, "serialization")], ref_template="#/components/schemas/{model}"
    )
    return dict(schemas["$defs"])


_DEAD_LETTER: Json = {
    "title": "DeadLetter",
    "type": "object",
    "required": ["reason", "entry"],
    "properties": {
        "reason": {"type": "string", "description": "Why it could not be processed"},
        "entry": {"type": "string", "description": "Its ID in the stream of images"},
        "task_id": {"type": "string", "description": "Its task, if that is certain"},
        "at": {"type": "string", "description": "When, in milliseconds since 1970"},
        "detail": {"type": "string", "description": "The reason in words"},
        "deliveries": {"type": "string", "description": "How often it was delivered"},
        "index": {"type": "string", "description": "Its place in the task"},
        "filename": {"type": "string", "description": "Original name"},
        "object": {"type": "string", "description": "Storage key of the original"},
        "image_bytes": {"type": "string", "description": "Size of a file that was in the entry"},
        "image_sha1": {"type": "string", "description": "Digest of that file"},
        "kept": {"type": "string", "description": "Storage key of the original in quarantine"},
    },
    "additionalProperties": {"type": "string"},
}
