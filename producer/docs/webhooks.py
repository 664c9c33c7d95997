"""What the service sends to its user's own services, for the `webhooks` section."""

from typing import Any

Json = dict[str, Any]


def webhooks() -> Json:
    """The upload and the callback."""
    return {
        "upload": {
            "post": {
                "operationId": "webhook_upload",
                "summary": "Covered images of a completed task",
                "description": "Sent to BACKEND_UPLOAD_URL if that is set. At least once: "
                "`webhook-id` is the same for each repeat. WEBHOOK_IMAGES_FIELD gives the field "
                "`images` another name, such as `images[]`. File names are UTF-8, without control "
                """characters and without `"`, `\\`, `;`, `%`, `<`, `>`, `:`, `|`, `?`, `*`.""",
                "parameters": _headers(
                    "the lines `<task_id>`, then `<filename> <sha256>` per file"
                ),
                "requestBody": {"required": True, "content": {"multipart/form-data": _upload()}},
                "responses": _responses(),
            }
        },
        "callback": {
            "post": {
                "operationId": "webhook_callback",
                "summary": "A task has ended",
                "description": "Sent to BACKEND_CALLBACK_URL if that is set, for completed and "
                "failed tasks. At least once: `webhook-id` is the same for each repeat.",
                "parameters": _headers("the body"),
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/TaskState"}}
                    },
                },
                "responses": _responses(),
            }
        },
    }


def _upload() -> Json:
    image = {"type": "string", "format": "binary", "contentMediaType": "image/webp"}
    schema = {
        "type": "object",
        "required": ["task_id", "images"],
        "properties": {
            "task_id": {"type": "string", "description": "The task that the images belong to"},
            "images": {"type": "array", "minItems": 1, "items": image},
        },
    }
    return {"schema": schema, "encoding": {"images": {"contentType": "image/webp"}}}


def _headers(signed: str) -> list[Json]:
    meanings = {
        "webhook-id": "Same for every delivery of this event",
        "webhook-timestamp": "Seconds since 1970 when it was sent",
        "webhook-signature": f"Standard Webhooks signature over {signed}; with WEBHOOK_SECRET only",
    }
    return [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in meanings.items()
    ]


def _responses() -> Json:
    return {
        "2XX": {"description": "Delivered"},
        "410": {"description": "Never send this one again"},
        "default": {"description": "Sent again later; Retry-After is honoured"},
    }
