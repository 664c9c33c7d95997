"""The command line as a whole: completion in a shell, and exit codes for wrong arguments."""

import pytest
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app


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
