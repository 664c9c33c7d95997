"""What became of the images: progress, a line for each that needs attention, the report."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cli.exits import ExitCode
from cli.images.results_folder import json_line
from cli.images.sources import Fault, Source
from cli.output import printable

Status = Literal["covered", "unchanged", "submitted", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image. ``result`` describes what was found in it, ``task_id`` the task."""

    source: Source
    status: Status
    output: Path | None = None
    fault: Fault | None = None
    result: dict[str, Any] = field(default_factory=dict)
    task_id: str | None = None

    @property
    def needs_review(self) -> bool:
        """Whether a person should look at the result."""
        return bool(self.result.get("needs_review"))

    def row(self) -> dict[str, Any]:
        """Return the line of the report."""
        error = self.fault and {"code": str(self.fault.code), "detail": self.fault.detail}
        task = {} if self.task_id is None else {"task_id": self.task_id}
        output = None if self.output is None else str(self.output)
        return {"input": str(self.source.path), "output": output, "status": self.status,
                "needs_review": self.needs_review, **self.result, "error": error,
                **task}  # fmt: skip


class Outcomes:
    """Collects outcomes: counts them, shows what needs attention, writes the report."""

    def __init__(self, progress: Progress, bar: TaskID, report: IO[bytes] | None) -> None:
        self._progress, self._bar, self._report = progress, bar, report
        self._counts: Counter[str] = Counter()

    @classmethod
    @contextmanager
    def shown(cls, total: int, report: IO[bytes] | None = None) -> Iterator["Outcomes"]:
        """Show a progress bar on standard error, if that is a terminal, while the block runs."""
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(
            *columns,
            console=console,
            transient=True,
            disable=not console.is_terminal,
            redirect_stdout=False,
        ) as progress:
            yield cls(progress, progress.add_task("images", total=total), report)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome, and report it."""
        self._counts[outcome.status] += 1
        self._counts["needs_review"] += outcome.needs_review
        if outcome.fault is not None:
            self.say(f"{outcome.source.path}: {outcome.fault.code}: {outcome.fault.detail}")
        elif outcome.needs_review:
            self.say(f"{outcome.output or outcome.source.path}: needs review")
        if self._report is not None:
            self._report.write(json_line(outcome.row()))
            self._report.flush()
        self._progress.advance(self._bar)

    def tell(self, line: str) -> None:
        """Print a line of the command's own output, also beside the progress bar."""
        if sys.stdout.isatty() and not self._progress.disable:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, flush=True)

    def say(self, line: str) -> None:
        """Print a line above the progress bar."""
        self._progress.console.print(
            f"plate-detect: {printable(line)}", markup=False, highlight=False, soft_wrap=True
        )

    @property
    def summary(self) -> str:
        """One line: how many images had each outcome."""
        words: tuple[Status, ...] = ("covered", "submitted", "unchanged", "failed")
        parts = [f"{self._counts[word]} {word}" for word in words if self._counts[word]]
        review = self._counts["needs_review"]
        return (", ".join(parts) or "no images") + (f"; {review} to review" if review else "")

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with."""
        if self._counts["failed"]:
            return ExitCode.FAILED
        return ExitCode.REVIEW if self._counts["needs_review"] else ExitCode.DONE
