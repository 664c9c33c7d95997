"""`python -m producer.docs`: write schemas/openapi.json anew, with the limits' defaults."""

from pathlib import Path

import orjson

from producer.docs.openapi import openapi_document
from producer.settings import ProducerSettings
from schemas import __path__ as schemas_path

OPENAPI_FILE = Path(schemas_path[0]) / "openapi.json"


def rendered() -> bytes:
    """The text of the committed document: neither environment nor `.env` has a say."""
    document = openapi_document(ProducerSettings.model_construct())
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    OPENAPI_FILE.write_bytes(rendered())
