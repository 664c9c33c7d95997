"""The settings of all processes as text, made from the settings models."""

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from cli.embedded import RunSettings
from consumer.settings import DispatcherSettings, WorkerSettings
from producer.settings import ProducerSettings
from schemas.settings.base import Settings
from schemas.storage.buckets import VARIABLES

MODELS: dict[str, type[Settings]] = {
    "producer": ProducerSettings,
    "worker": WorkerSettings,
    "dispatcher": DispatcherSettings,
    "run": RunSettings,
}
"""Which process reads which; `run` is `plate-detect run`."""

# Name, default and meaning of what Docker reads, and not a process from its settings.
_COMPOSE = (
    ("TORCH_CUDA_INDEX_URL", "https://pypi.org/simple", "Where the image for GPUs gets torch from"),
    ("REDIS_MAXMEMORY", "1gb", "Memory of the Redis container; a full one refuses new tasks (503)"),
)


@dataclass(frozen=True)
class Setting:
    """One environment variable."""

    name: str
    default: str
    meaning: str
    read_by: tuple[str, ...]

    @property
    def readers(self) -> str:
        """The names of the processes that read it, or `all`."""
        return "all" if set(self.read_by) >= set(MODELS) else ", ".join(self.read_by)


def settings() -> list[Setting]:
    """Return every setting once: first what all processes read, then each process's own.

    A variable that has different meanings in two processes is listed for each.
    """
    merged: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for role, model in MODELS.items():
        for name, field in model.model_fields.items():
            key = (name.upper(), default_text(field), field.description or "")
            merged[key] = (*merged.get(key, ()), role)
    found = [Setting(*key, read_by=readers) for key, readers in merged.items()]
    return sorted(found, key=lambda setting: setting.readers != "all")


def default_text(field: FieldInfo) -> str:
    """Return the default as `.env` has it; empty when there is none."""
    return value_text(field.get_default())


def value_text(value: Any) -> str:
    """Return a value as `.env` has it; empty when there is none."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return value.as_posix() if isinstance(value, Path) else str(value)


def markdown() -> str:
    """Return the table of the documentation."""
    lines = ["| variable | default | meaning | read by |", "|---|---|---|---|"]
    for setting in settings():
        default = f"`{setting.default}`" if setting.default else "–"
        meaning = setting.meaning.replace("|", "\\|")
        lines.append(f"| `{setting.name}` | {default} | {meaning} | {setting.readers} |")
    return "\n".join(lines) + "\n"


def dotenv() -> str:
    """Return the text of `.env.example`: every variable, commented out, at its default."""
    lines = [
        "# Copy to .env and uncomment what you change. An empty value counts as not set.",
        "# Made by `plate-detect settings --env`; the values shown are the defaults.",
        "# docker-compose.yml sets HOST, METRICS_PORT and DRAIN_SECONDS itself: change them there.",
        "# A line that is not NAME=value, or a misspelt key or secret, stops the start.",
    ]
    rows = [(f"Read by: {s.readers}", s.name, s.default, s.meaning) for s in settings()]
    for scheme, names_of in VARIABLES.items():
        bucket = f"Read where TASKS_STORAGE_URL is {scheme}://…"
        rows += [(bucket, name, "", meaning) for name, meaning in names_of.items()]
    rows += [("Read by docker-compose.yml only", *variable) for variable in _COMPOSE]
    for heading, variables in groupby(rows, key=itemgetter(0)):
        lines += ["", f"# --- {heading}"]
        for _, name, default, meaning in variables:
            lines += ["", f"# {meaning}", f"# {name}={default}"]
    return "\n".join(lines) + "\n"


def names() -> str:
    """Return the text of `schemas/settings/names.txt`."""
    return "".join(f"{name}\n" for name in sorted({setting.name for setting in settings()}))
