"""The OpenAPI 3.1 document, made from the pydantic models, the errors and the settings."""

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from producer.access import API_KEY_HEADER
from producer.errors import PROBLEM_JSON, TYPE_PREFIX, Problem, ProducerError
from producer.services.idempotency import HEADER, KEY_PATTERN
from producer.services.readiness import ServiceStatus
from producer.services.uploads import TaskAccepted
from producer.settings import ProducerSettings
from schemas.contract.errors import IMAGE_ERROR_MEANINGS
from schemas.contract.messages import TASK_ID_PATTERN
from schemas.contract.tasks import TaskState

API_VERSION = "1.0.0"

Json = dict[str, Any]

_DESCRIPTION = """\
Covers vehicle licence plates in images. Send JPEG, PNG or WebP files, get a `task_id`, and fetch
the covered images as WebP when the task is done, or have them sent to your own service.

Where the operator has set API keys, every call about tasks needs one, and any of them shows all
tasks. `/health`, `/ready`, `/metrics` and this documentation need none.

Every error has a body of `{"detail": "…"}`, a superset of which is RFC 9457: `type` names the
kind of problem for programs.

An image that was accepted can still fail on its own; it then appears in `errors` of its task:

| code | meaning |
|---|---|
"""
_BINARY = {"type": "string", "format": "binary"}
_FILE = {"name": "file", "in": "path", "required": True, "schema": {"type": "string"}}
_TASK_ID = _FILE | {"name": "task_id", "schema": {"type": "string", "pattern": TASK_ID_PATTERN}}


def openapi_document(settings: ProducerSettings) -> Json:
    """Return the document, with the limits of these settings."""
    codes = "\n".join(f"| `{code}` | {text} |" for code, text in IMAGE_ERROR_MEANINGS.items())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "plate-detect",
            "version": API_VERSION,
            "description": _DESCRIPTION + codes,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": settings.public_url or "/"}],
        "tags": [
            {"name": "tasks", "description": "Images in, covered images out"},
            {"name": "operations", "description": "For operators and orchestrators"},
        ],
        "paths": _secured(_task_paths(settings), settings) | _operations_paths(),
        "webhooks": _webhooks(),
        "components": {
            "schemas": _model_schemas(),
            "responses": {
                f"Problem{status}": _problem(status, kinds)
                for status, kinds in _kinds_by_status().items()
            },
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER},
                "Bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


@cache
def _model_schemas() -> Json:
    models = (TaskAccepted, TaskState, ServiceStatus, Problem)
    _, schemas = models_json_schema(
        [(model, "serialization") for model in models], ref_template="#/components/schemas/{model}"
    )
    return dict(schemas["$defs"])


def _secured(paths: Json, settings: ProducerSettings) -> Json:
    """Add to each operation that it asks for a key, if the operator has set any."""
    security: list[Json] = [{"ApiKey": []}, {"Bearer": []}]
    for operations in paths.values():
        for operation in operations.values():
            operation["security"] = security if settings.api_keys else [{}, *security]
            operation["responses"]["401"] = {"$ref": "#/components/responses/Problem401"}
    return paths


def _task_paths(settings: ProducerSettings) -> Json:
    status = _operation(
        "task_status",
        "State and results of a task",
        {"200": _json("The task", "TaskState")},
        (404, 503),
        "`results` is empty until the first image is done.",
        (_TASK_ID,),
    )
    events = _operation(
        "task_events",
        "Progress of a task",
        # OpenAPI 3.1 cannot give an event's schema: `schema` means the whole stream or one event,
        # depending on who reads it.
        {"200": {"description": "The stream", "content": {"text/event-stream": {}}}},
        (404, 503),
        "Server-Sent Events: `progress` at each change, `end` with the final state. The "
        "data of both is the body of task-status. Close the stream at `end`.",
        (_TASK_ID,),
    )
    delete = _operation(
        "delete_task",
        "Delete a task and its files",
        {"204": {"description": "Deleted"}},
        (404, 503),
        "Images that are not processed yet are dropped; the task ends as `failed`.",
        (_TASK_ID,),
    )
    result = _operation(
        "result",
        "A covered image",
        {
            "200": _content("The covered image", "image/webp", _BINARY),
            "304": {"description": "Unchanged since the client got it"},
        },
        (404, 412, 503),
        "The `url` of a result in task-status leads here.",
        (_TASK_ID, _FILE),
    )
    return {
        "/api/v1/process-task/": {"post": _process_task(settings)},
        "/api/v1/task-status/{task_id}": {"get": status},
        "/api/v1/task-events/{task_id}": {"get": events},
        "/api/v1/tasks/{task_id}": {"delete": delete},
        "/tasks_storage/{task_id}/output/{file}": {"get": result},
    }


def _process_task(settings: ProducerSettings) -> Json:
    max_files, max_bytes = settings.max_files, settings.max_file_size_bytes
    file = _BINARY | {"contentMediaType": "application/octet-stream"}
    files = {"type": "array", "minItems": 1, "maxItems": max_files, "items": file}
    form = {"type": "object", "required": ["files"], "properties": {"files": files}}
    encoding = {"files": {"contentType": "image/jpeg, image/png, image/webp"}}
    content = {"multipart/form-data": {"schema": form, "encoding": encoding}}
    accepted = _json("Accepted; ask for its state at `Location`", "TaskAccepted")
    address = {"type": "string", "format": "uri-reference"}
    accepted["headers"] = {"Location": {"description": "Address of task-status", "schema": address}}
    key = {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "Makes a repeat safe: the same key with the same files (names and contents, "
        "in order) is answered with the same task as long as that task exists; with other files "
        "it is refused (422), and while the first request is still being received, too (409). "
        "Keys of different API keys are different.",
        "schema": {"type": "string", "pattern": KEY_PATTERN},
    }
    operation = _operation(
        "process_task",
        "Cover the plates in images",
        {"202": accepted},
        (400, 408, 409, 413, 415, 422, 503),
        f"1 to {max_files} files, each of at most {max_bytes} bytes. The content decides the "
        "type: JPEG, PNG or WebP. One file that is refused refuses the whole request, and `detail` "
        "names it; so does a file in another field than `files`, `files[]` or `files[0]`, or a "
        "part that cannot be read. Text in other fields is not used, and the answer names them. "
        "The same path without the slash at its end works too.",
        (key,),
    )
    return operation | {"requestBody": {"required": True, "content": content}}


def _operations_paths() -> Json:
    metrics = _content("Prometheus text format", "text/plain", {"type": "string"})
    operations: list[tuple[str, str, Json, tuple[int, ...]]] = [
        ("health", "Whether the process is alive", _json("Alive", "ServiceStatus"), ()),
        ("ready", "Whether it can take work", _json("Ready", "ServiceStatus"), (503,)),
        ("metrics", "Metrics for Prometheus", metrics, ()),
    ]
    return {
        f"/{name}": {"get": _operation(name, summary, {"200": ok}, problems, tag="operations")}
        for name, summary, ok, problems in operations
    }


def _operation(
    name: str,
    summary: str,
    responses: Json,
    problems: tuple[int, ...],
    description: str = "",
    parameters: tuple[Json, ...] = (),
    *,
    tag: str = "tasks",
) -> Json:
    refused = {str(s): {"$ref": f"#/components/responses/Problem{s}"} for s in (*problems, 500)}
    operation: Json = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "responses": responses | refused,
    }
    if description:
        operation["description"] = description
    if parameters:
        operation["parameters"] = list(parameters)
    return operation


def _json(description: str, model: str) -> Json:
    return _content(description, "application/json", {"$ref": f"#/components/schemas/{model}"})


def _content(description: str, media_type: str, schema: Json) -> Json:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _problem(status: int, kinds: set[str]) -> Json:
    types = ", ".join(f"`{TYPE_PREFIX}{kind}`" for kind in sorted(kinds))
    problem = _content(
        f"`type` is one of {types}", PROBLEM_JSON, {"$ref": "#/components/schemas/Problem"}
    )
    if status in (409, 503):
        seconds = {"schema": {"type": "integer"}, "description": "Seconds to wait"}
        problem["headers"] = {"Retry-After": seconds}
    if status == 401:
        challenge = {"schema": {"type": "string"}, "description": "How to authenticate"}
        problem["headers"] = {"WWW-Authenticate": challenge}
    return problem


def _kinds_by_status() -> dict[int, set[str]]:
    kinds: dict[int, set[str]] = {}
    open_classes = [ProducerError]
    while open_classes:
        error = open_classes.pop()
        kinds.setdefault(error.status, set()).add(error.kind)
        open_classes += error.__subclasses__()
    return dict(sorted(kinds.items()))


def _webhooks() -> Json:
    """Return what the service sends to its user's own services."""
    image = _BINARY | {"contentMediaType": "image/webp"}
    images = {"type": "array", "minItems": 1, "items": image}
    task_id = {"type": "string", "description": "The task that the images belong to"}
    form = {
        "schema": {
            "type": "object",
            "required": ["task_id", "images"],
            "properties": {"task_id": task_id, "images": images},
        },
        "encoding": {"images": {"contentType": "image/webp"}},
    }
    upload = _webhook(
        "upload",
        "Covered images of a completed task",
        "Sent to BACKEND_UPLOAD_URL if that is set. At least once: "
        "`webhook-id` is the same for each repeat. WEBHOOK_IMAGES_FIELD gives the field "
        "`images` another name, such as `images[]`. File names are UTF-8, without control "
        """characters and without `"`, `\\`, `;`, `%`, `<`, `>`, `:`, `|`, `?`, `*`.""",
        {"multipart/form-data": form},
        signed="the lines `<task_id>`, then `<filename> <sha256>` per file",
    )
    callback = _webhook(
        "callback",
        "A task has ended",
        "Sent to BACKEND_CALLBACK_URL if that is set, for completed and "
        "failed tasks. At least once: `webhook-id` is the same for each repeat.",
        {"application/json": {"schema": {"$ref": "#/components/schemas/TaskState"}}},
        signed="the body",
    )
    return {"upload": {"post": upload}, "callback": {"post": callback}}


def _webhook(name: str, summary: str, description: str, content: Json, *, signed: str) -> Json:
    headers = {
        "webhook-id": "Same for every delivery of this event",
        "webhook-timestamp": "Seconds since 1970 when it was sent",
        "webhook-signature": f"Standard Webhooks signature over {signed}; with WEBHOOK_SECRET only",
    }
    return {
        "operationId": f"webhook_{name}",
        "summary": summary,
        "description": description,
        "parameters": [
            {"name": header, "in": "header", "description": text, "schema": {"type": "string"}}
            for header, text in headers.items()
        ],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "2XX": {"description": "Delivered"},
            "410": {"description": "Never send this one again"},
            "default": {"description": "Sent again later; Retry-After is honoured"},
        },
    }
