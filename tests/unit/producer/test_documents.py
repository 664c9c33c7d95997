"""The committed OpenAPI document, and what the vendored interfaces may ask for."""

import re
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from producer.access import API_KEY_HEADER
from producer.docs import OPENAPI_FILE, openapi_document, rendered
from producer.routes.results import DELIVERY
from producer.routes.reviews import ReviewQuery
from producer.services.idempotency import HEADER, KEY_PATTERN
from producer.settings import ProducerSettings
from schemas.contract.messages import TASK_ID_PATTERN

ASSETS = Path(__file__).parents[3] / "producer" / "assets"


def test_committed_document_is_fresh() -> None:
    assert OPENAPI_FILE.read_bytes() == rendered(), "run: python -m producer.docs"


def test_document_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rendered()
    monkeypatch.setenv("MAX_FILES_PER_REQUEST", "7")
    assert rendered() == before


def test_document_is_valid_and_names_the_limits() -> None:
    document = openapi_document(ProducerSettings(_env_file=None, max_files_per_request=7))
    validate(document)
    upload = document["paths"]["/api/v1/process-task/"]["post"]
    form = upload["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["files"]["maxItems"] == 7
    assert form["properties"]["files"]["items"]["format"] == "binary"
    assert set(upload["responses"]) == {
        "202", "400", "401", "408", "409", "413", "415", "422", "500", "503",
    }  # fmt: skip
    assert set(document["webhooks"]) == {"upload", "callback"}


def test_names_and_patterns_are_those_of_the_code() -> None:
    document = openapi_document(ProducerSettings(_env_file=None))
    assert document["components"]["securitySchemes"]["ApiKey"]["name"] == API_KEY_HEADER
    patterns = {
        (parameter["name"], parameter["schema"].get("pattern"))
        for operations in document["paths"].values()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
    }
    assert patterns == {
        (HEADER, KEY_PATTERN), ("task_id", TASK_ID_PATTERN),
        *((name, None) for name in ("file", DELIVERY, *ReviewQuery.model_fields)),
    }  # fmt: skip


@pytest.mark.parametrize("api_keys", [(), (b"digest",)])
def test_operations_on_tasks_need_a_key_if_there_are_any(api_keys: tuple[bytes, ...]) -> None:
    document = openapi_document(ProducerSettings.model_construct(api_keys=api_keys))
    needing = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if {} not in operation.get("security", [{}])
    }
    tasks = {path for path in document["paths"] if path.startswith(("/api/", "/tasks_storage/"))}
    assert needing == (tasks if api_keys else set())


def test_every_reference_leads_somewhere() -> None:
    text = rendered().decode()
    document = openapi_document(ProducerSettings(_env_file=None))
    references = set(re.findall(r'"#/components/(\w+)/(\w+)"', text))
    assert references
    for section, name in references:
        assert name in document["components"][section]


def test_vendored_scripts_name_no_host_to_fetch_from() -> None:
    redoc = (ASSETS / "redoc" / "redoc.standalone.js").read_text(encoding="utf-8")
    assert "cdn.redoc.ly" not in redoc
    assert "fonts.googleapis.com" not in redoc
    assert "validatorUrl: null" in (ASSETS / "docs.js").read_text(encoding="utf-8")
    assert "url(http" not in (ASSETS / "swagger-ui" / "swagger-ui.css").read_text(encoding="utf-8")
