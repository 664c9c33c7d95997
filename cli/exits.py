"""Exit codes of all commands, in one place for the code and for the documentation."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the end of a command means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REVIEW = 3
    HUNG = 70
    INTERRUPTED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "Everything was done.",
    ExitCode.FAILED: "Something failed: the command itself, or one of its images, items or checks. "
    "The other ones were done. A line on standard error says what failed.",
    ExitCode.USAGE: "The arguments cannot be used. Nothing was done.",
    ExitCode.REVIEW: "Everything was done, and a person should look at it: `cover` and `submit` "
    "have a result with `needs_review`, or `doctor` has a warning.",
    ExitCode.HUNG: "`cover` hung: a forward pass took longer than INFERENCE_TIMEOUT_SECONDS.",
    ExitCode.INTERRUPTED: "Ctrl-C ended it. The same command continues.",
}


def markdown() -> str:
    """Return the table of the documentation."""
    rows = [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| exit code | meaning |", "|---|---|", *rows])
