"""Where settings come from: the environment, and the file `.env`.

A line of `.env` either sets a variable or stops the start. A parser that skips what it does not
understand would leave a service open whose API_KEYS were meant to close it. Messages repeat no
values.
"""

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream
from pydantic_settings import EnvSettingsSource

from schemas.settings.addresses import SERVICE_ADDRESS
from schemas.settings.misspelled import SECURITY, SETTINGS

ENV_FILE = Path(".env")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LINE_END = re.compile(r"\r\n|\n|\r")
# `${NAME}` or `${NAME:-}`: a reference without a default.
_REFERENCE = re.compile(r"\$\{([^}:]*)(?::-)?\}")
_SETS = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")


class SettingsError(Exception):
    """A setting has a wrong value. The message is one line that names it."""


class Environment(EnvSettingsSource):
    """The environment without the addresses that Kubernetes adds to it.

    For each Service of a namespace, every container gets <SERVICE>_PORT=tcp://10.0.0.1:80: from a
    Service named `metrics`, METRICS_PORT; from one named `redis`, REDIS_PORT.
    """

    def _load_env_vars(self) -> Mapping[str, str | None]:
        variables = super()._load_env_vars()
        return {name: text for name, text in variables.items() if not _is_injected(name, text)}


class InjectedRedisPort(EnvSettingsSource):
    """REDIS_PORT, if Kubernetes set it: it holds the port of the Redis that REDIS_HOST names."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        text = super()._load_env_vars().get("redis_port")
        return {"redis_port": text} if _is_injected("redis_port", text) else {}


def _is_injected(name: str, text: str | None) -> bool:
    return name.endswith("port") and bool(SERVICE_ADDRESS.fullmatch(text or ""))


@dataclass(frozen=True, slots=True)
class Assignment:
    """The value of one name, and the line that sets it (the last one, if several do)."""

    value: str
    line: int


def read_env_file() -> dict[str, Assignment]:
    """Return the assignments of `.env` by name in capitals; none if there is no such file.

    Raises:
        SettingsError: the file cannot be read, or a line does not set what it seems to set.
    """
    if not os.path.lexists(ENV_FILE) or ENV_FILE.is_char_device():  # a link to /dev/null
        return {}
    if ENV_FILE.exists() and not ENV_FILE.is_file():
        raise SettingsError(".env cannot be read: it is not a file")  # Docker makes it a folder
    try:
        return _parse(ENV_FILE.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise SettingsError(f".env is not UTF-8: see its byte {error.start + 1}") from None
    except OSError as error:
        raise SettingsError(f".env cannot be read: {error.strerror}") from None


def _parse(text: str) -> dict[str, Assignment]:
    known = {name for name, value in os.environ.items() if value}
    before: dict[str, Binding] = {}
    for binding in parse_stream(io.StringIO(text)):
        if not binding.error and not binding.key:
            continue
        name = (binding.key or "").upper()
        fault, earlier = _fault(binding, known), before.get(name)
        if name in SECURITY and earlier and earlier.value not in ("", binding.value):
            fault = fault or f"sets {name} to another value than line {_line(earlier)}"
        if fault:
            raise SettingsError(f".env line {_line(binding)} {fault}")
        before[name] = binding
        if binding.value:
            known.add(binding.key or "")
    values = dotenv_values(stream=io.StringIO(text))  # with `${…}` replaced
    return {
        name: Assignment(values[binding.key or ""] or "", _line(binding))
        for name, binding in before.items()
    }


def _line(binding: Binding) -> int:
    """Return the line of the assignment; the parser counts the empty lines before it as part."""
    text = binding.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + len(_LINE_END.findall(blank))


def _fault(binding: Binding, known: set[str]) -> str | None:
    """Say why a line does not set what it seems to set; None if it does.

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
    is_setting = name.upper() in SETTINGS
    inner = _LINE_END.split(binding.value)[1:]
    inner_names = {found.upper() for text in inner for found in _SETS.findall(text)}
    if (inner and is_setting) or inner_names & SETTINGS:
        return "begins a quoted value that ends on another line: a quote is missing"
    if is_setting and not known.issuperset(_REFERENCE.findall(binding.value)):
        return "refers to a variable (${…}) that is not set before it"
    return None
