"""`python -m producer.docs`: write schemas/openapi.json, with the limits' defaults."""

from pathlib import Path

import orjson

from producer.docs.openapi import openapi_document
from producer.settings import ProducerSettings
from schemas import __path__ as schemas_path

OPENAPI_FILE = Path(schemas_path[0]) / "openapi.json"


def rendered() -> bytes:
    """Return the text of the committed document, whatever environment and `.env` say."""
    document = openapi_document(ProducerSettings.model_construct())
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    OPENAPI_FILE.write_bytes(rendered())
