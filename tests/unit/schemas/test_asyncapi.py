"""The AsyncAPI document: valid for the official parser, and its messages are the contract's."""

import json
import subprocess
from pathlib import Path

import pytest

from schemas.asyncapi import ASYNCAPI_FILE
from tests.support.programs import needed_program, skip_without

TESTS = Path(__file__).parents[2]
PARSER = TESTS / "node_modules" / "@asyncapi" / "parser"


def faults(document: Path) -> str:
    if not PARSER.exists():
        skip_without("the parser of AsyncAPI is not installed: npm ci --prefix tests")
    command = [needed_program("node"), str(TESTS / "support" / "asyncapi.mjs"), str(document)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_official_parser_finds_no_fault() -> None:
    assert faults(ASYNCAPI_FILE) == ""


@pytest.mark.parametrize("part", ["channels", "info"])
def test_the_parser_finds_a_fault(part: str, tmp_path: Path) -> None:
    document = json.loads(ASYNCAPI_FILE.read_text(encoding="utf-8"))
    del document[part]
    (tmp_path / "broken.json").write_text(json.dumps(document), encoding="utf-8")
    assert faults(tmp_path / "broken.json")
