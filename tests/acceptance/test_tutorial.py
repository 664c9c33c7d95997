"""The tutorial does what it says: its blocks run one after the other, and print what it shows.

Blocks of `bash` are the reader's second terminal, and those that end with `make run` the first one.
Blocks of `text` are the output of the block before. `…` stands for any text of a line, and as a
line of its own for any lines. `as_run` changes what a test may not do: ports, and the installation.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from models.draw_example import HEIGHT, SEED, WIDTH
from tests.support.documents import DOCS
from tests.support.pictures import assert_covered, scene
from tests.support.ports import free_port
from tests.support.programs import needed_program
from tests.support.run_command import RUN_COMMAND, Run
from tests.support.service import ROOT, wait_until

ENGLISH, RUSSIAN = DOCS / "tutorial.md", DOCS / "tutorial.ru.md"
BLOCK_SECONDS = 120
PYTHON = shlex.quote(sys.executable)


class Block(NamedTuple):
    """A block of code, and the output that the page shows for it."""

    code: str
    output: str | None


def fenced(page: Path) -> list[tuple[str, str]]:
    """Return language and text of each block of a page."""
    return re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"))


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks to run."""
    blocks: list[Block] = []
    for language, text in fenced(page):
        assert language in {"bash", "text"}
        if language == "bash":
            blocks.append(Block(text, None))
        else:
            assert blocks[-1].output is None, f"no command prints this: {text}"
            blocks[-1] = blocks[-1]._replace(output=text)
    return blocks


def as_run(text: str, port: int, receiver_port: int) -> str:
    """Return a block as the test runs it."""
    changed = {
        "make run": shlex.join(RUN_COMMAND),
        ".venv/bin/pip install ./client": f'{PYTHON} -c "import plate_detect_client"',
        ".venv/bin/plate-detect": f"{PYTHON} -m cli",
        ".venv/bin/python": PYTHON,
        "localhost:8000": f"127.0.0.1:{port}",
        "8001": str(receiver_port),
    }
    pattern = "|".join(map(re.escape, changed))
    return re.sub(pattern, lambda found: changed[found[0]], text)


def pattern_of(output: str) -> re.Pattern[str]:
    """Return what an output must match."""
    lines = [
        r"(?:.*\n)*?" if line == "…" else ".+?".join(map(re.escape, line.split("…"))) + r"\n"
        for line in output.splitlines()
    ]
    return re.compile("".join(lines))


def lines_of(output: str) -> str:
    """Return an output without spaces at the ends of lines, and without empty lines at its end."""
    return "\n".join(line.rstrip() for line in output.splitlines()).rstrip() + "\n"


class Terminal:
    """A shell that runs one block after the other, and keeps its variables."""

    def __init__(self, folder: Path, notes: Path, environment: dict[str, str]) -> None:
        self._notes = notes
        self._blocks = 0
        self._shell = subprocess.Popen(
            ["bash"], stdin=subprocess.PIPE, cwd=folder, env=environment, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._type("set -o pipefail; trap failed=1 ERR")

    def run(self, code: str) -> str:
        """Run a block, and return its output; fails if one of its commands does."""
        self._blocks += 1
        output, end = (self._notes / f"{self._blocks}.{what}" for what in ("output", "end"))
        self._type(
            f"failed=0\n{{\n{code}}} </dev/null >{shlex.quote(str(output))} 2>&1\n"
            f"echo $failed >{shlex.quote(str(end))}"
        )
        wait_until(
            lambda: end.exists() and end.read_text(), BLOCK_SECONDS,
            lambda: f"{code}\n{output.read_text()}",
        )  # fmt: skip
        printed = output.read_text(encoding="utf-8")
        assert end.read_text() == "0\n", f"{code}\n{printed}"
        return printed

    def close(self) -> None:
        """End the shell with all that it has started."""
        assert self._shell.stdin is not None
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.stdin.close()
        self._shell.wait(timeout=30)

    def _type(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{text}\n")
        self._shell.stdin.flush()


class Reader:
    """A reader of the tutorial, with two terminals in a folder like a checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        (self.folder / "producer").mkdir(parents=True)
        (self.folder / "producer" / "assets").symlink_to(ROOT / "producer" / "assets")
        self._port, self._receiver_port = free_port(), free_port()
        environment = {
            **os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'client'}",
            "PLATE_DETECT_URL": f"http://127.0.0.1:{self._port}",
        }  # fmt: skip
        self._service: Run | None = None
        self._terminal = Terminal(self.folder, folder, environment)

    def follow(self, block: Block) -> None:
        """Type a block into its terminal, and compare what is printed."""
        code = as_run(block.code, self._port, self._receiver_port)
        shown = as_run(block.output or "", self._port, self._receiver_port)
        if block.code.endswith("make run\n"):
            self.stop_service()
            self._service = Run(self.folder, ["bash", "-c", code], self._port)
            self._service.expect(shown.splitlines()[-1])
            printed = self._service.output
            assert pattern_of(shown).match(printed), printed
            return
        printed = lines_of(self._terminal.run(code))
        if block.output is not None:
            assert pattern_of(shown).fullmatch(printed), f"{code}\n{printed}"

    def results(self) -> list[Path]:
        """Return the covered images that the reader has now."""
        return list((self.folder / "tutorial").rglob("*.webp"))

    def stop_service(self) -> None:
        """Press Ctrl-C in the first terminal."""
        if self._service is not None:
            self._service.interrupt()
            assert self._service.close() == 0, self._service.output
            self._service = None

    def close(self) -> None:
        """End whatever still runs."""
        self._terminal.close()
        if self._service is not None:
            if self._service.process.poll() is None:
                os.killpg(self._service.process.pid, signal.SIGKILL)
            self._service.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    for program in ("bash", "curl", "openssl"):
        needed_program(program)
    reader = Reader(tmp_path)
    yield reader
    reader.close()


@pytest.mark.acceptance
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tutorial_works(reader: Reader) -> None:
    results: dict[str, bytes] = {}
    for block in blocks_of(ENGLISH):
        reader.follow(block)
        results |= {str(file): file.read_bytes() for file in reader.results()}
    reader.stop_service()
    assert len(results) == 3
    for result in results.values():
        assert_covered(scene(SEED, WIDTH, HEIGHT), result)
    assert not (reader.folder / "tutorial").exists()


def test_both_languages_have_the_same_blocks() -> None:
    assert fenced(ENGLISH) == fenced(RUSSIAN)


@pytest.mark.parametrize(
    ("shown", "printed", "matches"),
    [
        ('{"id":"…","n":1}\n', '{"id":"a1b2","n":1}\n', True),
        ('{"id":"…","n":1}\n', '{"id":"a1b2","n":2}\n', False),
        ("…\nend\n", "end\n", True),
        ("…\nend\n", "1\n2\nend\n", True),
        ("…\nend\n", "1\nend\nmore\n", False),
        ("a…\n", "a\nb\n", False),
    ],
)
def test_outputs_are_compared(shown: str, printed: str, matches: bool) -> None:
    assert bool(pattern_of(shown).fullmatch(printed)) == matches


def test_a_block_fails_with_any_of_its_commands(tmp_path: Path) -> None:
    needed_program("bash")
    terminal = Terminal(tmp_path, tmp_path, dict(os.environ))
    try:
        assert terminal.run("NAME=kept\n") == ""
        assert terminal.run("echo $NAME\nif false; then :; fi\n") == "kept\n"
        for code in ("false\ntrue\n", "false | cat\n", "NAME=$(false)\ntrue\n"):
            with pytest.raises(AssertionError, match="false"):
                terminal.run(code)
    finally:
        terminal.close()
