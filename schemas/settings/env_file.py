"""The file `.env`: read whole, or refused with the line that would have no effect.

A parser that skips what it does not understand leaves a service open whose API_KEYS were meant to
close it. So every line either sets a variable, or stops the start. No message repeats a value.
"""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from schemas.settings.misspelled import SECURITY, SETTINGS

ENV_FILE = Path(".env")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LINE_END = re.compile(r"\r\n|\n|\r")
_SETS = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")


class EnvFileError(Exception):
    """`.env` cannot be read as it was meant. The message is one line without any value."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one name is set to, and the line that says so (the last one, if several do)."""

    value: str
    line: int


def read() -> dict[str, Assignment]:
    """Read the assignments of `.env` by name in capitals; none if there is no such file.

    Raises:
        EnvFileError: a line sets nothing, or something else than it seems to.
    """
    if not os.path.lexists(ENV_FILE) or ENV_FILE.is_char_device():  # a link to /dev/null
        return {}
    if ENV_FILE.exists() and not ENV_FILE.is_file():
        raise EnvFileError(".env cannot be read: it is not a file")  # Docker makes it a folder
    try:
        return _parsed(ENV_FILE.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise EnvFileError(f".env is not UTF-8: see its byte {error.start + 1}") from None
    except OSError as error:
        raise EnvFileError(f".env cannot be read: {error.strerror}") from None


def _parsed(text: str) -> dict[str, Assignment]:
    bindings = [found for found in parse_stream(io.StringIO(text)) if found.error or found.key]
    known = {name for name, value in os.environ.items() if value}
    written: dict[str, Binding] = {}
    for binding in bindings:
        name = (binding.key or "").upper()
        fault = _fault(binding, known) or _contradiction(name, binding, written.get(name))
        if fault:
            raise EnvFileError(f".env line {_line(binding)} {fault}")
        written[name] = binding
        if binding.value:
            known.add(binding.key or "")
    values = dotenv_values(stream=io.StringIO(text))  # with `${…}` replaced
    return {
        name: Assignment(values[binding.key or ""] or "", _line(binding))
        for name, binding in written.items()
    }


def _contradiction(name: str, binding: Binding, before: Binding | None) -> str | None:
    if name not in SECURITY or before is None or before.value in ("", binding.value):
        return None
    return f"sets {name} to another value than line {_line(before)}"


def _line(binding: Binding) -> int:
    """Where the binding begins: the parser counts the empty lines before it as its own."""
    text = binding.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + len(_LINE_END.findall(blank))


def _fault(binding: Binding, known: set[str]) -> str | None:
    """Say why a line does not do what it seems to do; None if it does.

    Args:
        known: names that `${NAME}` may refer to.
    """
    name = binding.key or ""
    if binding.error:
        return "cannot be read: it must be NAME=value, with both quotes or none"
    if binding.value is None:
        return "sets nothing: it must be NAME=value"
    if not _NAME.fullmatch(name):
        return "does not begin with the name of a variable (A-Z, a-z, 0-9 and _)"
    inner = _LINE_END.split(binding.value)[1:]
    swallowed = any(set(map(str.upper, _SETS.findall(text))) & SETTINGS for text in inner)
    if swallowed or (inner and name.upper() in SETTINGS):
        return "begins a quoted value that ends on another line: a quote is missing"
    if name.upper() in SETTINGS and not known.issuperset(_references(binding.value)):
        return "refers to a variable (${…}) that is not set before it"
    return None


def _references(value: str) -> Iterator[str]:
    """Names of the variables that a value is made of, without those that have a default."""
    for atom in parse_variables(value):
        if isinstance(atom, Variable) and not atom.default:
            yield atom.name
