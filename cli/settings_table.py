"""The settings of all processes as text: for docs/operating.md, for .env.example, for a terminal.

Made from the settings models, so that what is written about a setting is what the program reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic.fields import FieldInfo

from cli.embedded import RunSettings
from consumer.settings import DispatcherSettings, WorkerSettings
from producer.settings import ProducerSettings
from schemas.settings.base import Settings
from schemas.settings.misspelled import S3_VARIABLES

MODELS: dict[str, type[Settings]] = {
    "producer": ProducerSettings,
    "worker": WorkerSettings,
    "dispatcher": DispatcherSettings,
    "run": RunSettings,
}
"""Who reads what; `run` is `plate-detect run`."""

_S3_HEADING = "Read where TASKS_STORAGE_URL is s3://…"

# Shown where a process is told something by Docker rather than by its settings.
_COMPOSE_HEADING = "Read by docker-compose.yml only"
_COMPOSE = (
    ("TORCH_INDEX_URL", "https://download.pytorch.org/whl/cpu", "Where images get torch from"),
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
        """Who reads it, in a word or few."""
        return "all" if set(self.read_by) >= set(MODELS) else ", ".join(self.read_by)


def settings() -> list[Setting]:
    """Every setting once: what all processes read first, then each process's own.

    Where processes give one variable different meanings, it has a line for each.
    """
    merged: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for role, name, field in _fields():
        key = (name.upper(), default_text(field), field.description or "")
        merged[key] = (*merged.get(key, ()), role)
    found = [Setting(*key, read_by=readers) for key, readers in merged.items()]
    return sorted(found, key=lambda setting: setting.readers != "all")


def default_text(field: FieldInfo) -> str:
    """The default as one would write it in `.env`; empty when there is none."""
    default = field.get_default()
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return default.as_posix() if isinstance(default, Path) else str(default)


def markdown() -> str:
    """Return the table of docs/operating.md."""
    lines = ["| variable | default | meaning | read by |", "|---|---|---|---|"]
    for setting in settings():
        default = f"`{setting.default}`" if setting.default else "–"
        meaning = setting.meaning.replace("|", "\\|")
        lines.append(f"| `{setting.name}` | {default} | {meaning} | {setting.readers} |")
    return "\n".join(lines) + "\n"


def dotenv() -> str:
    """The text of `.env.example`: every variable, commented out, at its default."""
    lines = [
        "# Copy to .env and uncomment what you change. An empty value counts as not set.",
        "# Made by `plate-detect settings --env`; the values shown are the defaults.",
        "# docker-compose.yml sets HOST, METRICS_PORT and DRAIN_SECONDS itself: change them there.",
        "# A line that is not NAME=value, or a misspelt key or secret, stops the start.",
    ]
    heading = ""
    for setting in settings():
        if setting.readers != heading:
            heading = setting.readers
            lines += ["", f"# --- Read by: {heading}"]
        lines += ["", f"# {setting.meaning}", f"# {setting.name}={setting.default}"]
    lines += ["", f"# --- {_S3_HEADING}"]
    for name, meaning in S3_VARIABLES.items():
        lines += ["", f"# {meaning}", f"# {name}="]
    lines += ["", f"# --- {_COMPOSE_HEADING}"]
    for name, default, meaning in _COMPOSE:
        lines += ["", f"# {meaning}", f"# {name}={default}"]
    return "\n".join(lines) + "\n"


def _fields() -> Iterator[tuple[str, str, FieldInfo]]:
    for role, model in MODELS.items():
        for name, field in model.model_fields.items():
            yield role, name, field
