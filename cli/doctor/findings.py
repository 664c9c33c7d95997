"""What the checks of `plate-detect doctor` work on, and what they find."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum

from cli.settings_table import MODELS
from consumer.settings import DispatcherSettings, WorkerSettings
from producer.settings import ProducerSettings


class Level(StrEnum):
    """How bad a finding is. `skipped`: there was nothing to check, or no right to."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check; ``mend`` says what to do about it."""

    level: Level
    text: str
    mend: str = ""


def ok(text: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(Level.OK, text)


def skipped(text: str) -> Finding:
    """Return a finding about what was not checked."""
    return Finding(Level.SKIPPED, text)


def warning(text: str, mend: str) -> Finding:
    """Return a finding with which the service works, for now."""
    return Finding(Level.WARNING, text, mend)


def problem(text: str, mend: str) -> Finding:
    """Return a finding with which the service does not work."""
    return Finding(Level.PROBLEM, text, mend)


@dataclass(frozen=True)
class Installation:
    """The settings of all roles, as they would start here."""

    producer: ProducerSettings
    worker: WorkerSettings
    dispatcher: DispatcherSettings

    @classmethod
    def load(cls) -> "Installation":
        """Load the settings of all roles. Raises SettingsError: one is wrong."""
        for model in MODELS.values():
            model.load()
        return cls(ProducerSettings.load(), WorkerSettings.load(), DispatcherSettings.load())


Check = Callable[[Installation], AsyncIterator[Finding]]
