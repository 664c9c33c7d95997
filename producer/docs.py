"""The OpenAPI 3.1 document: schemas/openapi.json, brought up to date with the code and settings.

Paths, parameters, webhooks and their texts are edited in that file. Its version, limits, models,
kinds of problems and codes of images come from the code: `python -m producer.docs` writes them
again.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
from pydantic.json_schema import models_json_schema

from producer.errors import TYPE_PREFIX, Problem, ProducerError
from producer.services.readiness import ServiceStatus
from producer.services.uploads import TaskAccepted
from producer.settings import ProducerSettings
from schemas import __path__ as schemas_path
from schemas.contract.corrections import CorrectionState, CoversToAdd, ReviewPage
from schemas.contract.errors import IMAGE_ERROR_MEANINGS
from schemas.contract.tasks import TaskState
from schemas.version import VERSION

OPENAPI_FILE = Path(schemas_path[0]) / "openapi.json"

Json = dict[str, Any]


def openapi_document(settings: ProducerSettings) -> Json:
    """Return the document, with the limits of these settings."""
    document: Json = orjson.loads(OPENAPI_FILE.read_bytes())
    document["info"]["version"] = VERSION
    document["servers"] = [{"url": settings.public_url or "/"}]
    text, table, _ = document["info"]["description"].partition("|---|---|\n")
    rows = "\n".join(f"| `{code}` | {meaning} |" for code, meaning in IMAGE_ERROR_MEANINGS.items())
    document["info"]["description"] = text + table + rows
    _set_limits(document["paths"]["/api/v1/process-task/"]["post"], settings)
    _set_security(document["paths"], settings)
    document["components"]["schemas"] = _model_schemas()
    responses = document["components"]["responses"]
    for status, kinds in _kinds_by_status().items():
        types = ", ".join(f"`{TYPE_PREFIX}{kind}`" for kind in sorted(kinds))
        responses[f"Problem{status}"]["description"] = f"`type` is one of {types}"
    return document


def rendered() -> bytes:
    """Return the text of the committed document, whatever environment and `.env` say."""
    document = openapi_document(ProducerSettings.model_construct())
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _set_limits(upload: Json, settings: ProducerSettings) -> None:
    max_files, max_bytes = settings.max_files, settings.max_file_size_bytes
    _, _, rules = upload["description"].partition(" bytes. ")
    upload["description"] = f"1 to {max_files} files, each of at most {max_bytes} bytes. {rules}"
    form = upload["requestBody"]["content"]["multipart/form-data"]["schema"]
    form["properties"]["files"]["maxItems"] = max_files


def _set_security(paths: Json, settings: ProducerSettings) -> None:
    """Set whether the operations that may need a key do need one."""
    keys: list[Json] = [{"ApiKey": []}, {"Bearer": []}]
    for operations in paths.values():
        for operation in operations.values():
            if "security" in operation:
                operation["security"] = keys if settings.api_keys else [{}, *keys]


def _model_schemas() -> Json:
    sent = (TaskAccepted, TaskState, CorrectionState, ReviewPage, ServiceStatus, Problem)
    _, schemas = models_json_schema(
        [*((model, "serialization") for model in sent), (CoversToAdd, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    return dict(schemas["$defs"])


def _kinds_by_status() -> dict[int, set[str]]:
    kinds: defaultdict[int, set[str]] = defaultdict(set)
    errors: list[type[ProducerError]] = [ProducerError, *ProducerError.__subclasses__()]
    for error in errors:
        kinds[error.status].add(error.kind)
    return kinds


if __name__ == "__main__":
    OPENAPI_FILE.write_bytes(rendered())
