"""`python -m tests.stress.flood`: overload a service; `--write` writes the figures into docs/."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.stress.flood.run import ROLES, FloodFigures, FloodPlan, run
from tests.support.environment import forget_settings
from tests.support.tables import write_table

WORKER_MIB = 1500.0
"""Limit for the worker's memory above its idle memory, with its model loaded."""

FLAT = 1.1


def main() -> int:
    """Overload a service; return 0 if memory stayed within its limits."""
    forget_settings()
    parser = argparse.ArgumentParser(prog="python -m tests.stress.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=FloodPlan.seconds)
    parser.add_argument("--write", action="store_true", help="write the figures into docs/")
    args = parser.parse_args()
    started = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {line}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="flood-") as folder:
        figures = run(FloodPlan(seconds=args.seconds), Path(folder), tell)
    print(markdown(figures))
    for line in (found := violations(figures)):
        tell(line)
    if args.write and not found:
        write_table("flood", markdown(figures))
    return bool(found)


def violations(figures: FloodFigures) -> list[str]:
    """Return what was not within its limits."""
    found = list(figures.unexpected)
    over = figures.peak("worker") - figures.idle["worker"]
    if over > WORKER_MIB:
        found.append(f"the worker took {over:.0f} MiB over its model")
    found += [f"{role} grew by {figures.growth(role):.2f}"
              for role in ROLES if figures.growth(role) > FLAT]  # fmt: skip
    if not figures.refused:
        found.append("nothing was refused: the service was not overloaded")
    return found


def markdown(figures: FloodFigures) -> str:
    """Return a Markdown table of load and memory."""
    plan = figures.plan
    rows = {
        "sent by": f"{plan.clients} clients, without a pause, for {plan.seconds / 60:.0f} minutes",
        "one task": f"{plan.images} photographs of {plan.width**2 * 2 / 3 / 1e6:.0f} megapixels",
        f"tasks taken, refused with 503 (MAX_BACKLOG_IMAGES={plan.max_backlog})":
            f"{figures.accepted}, {figures.refused}",
        "images covered meanwhile": str(figures.images_done),
    }  # fmt: skip
    for role in ROLES:
        rows[f"memory of the {role}: idle, peak, last third over second"] = (
            f"{figures.idle[role]:.0f} MiB, {figures.peak(role):.0f} MiB, "
            f"{figures.growth(role):.2f}"
        )
    return "\n".join(["| | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows.items())])


if __name__ == "__main__":
    sys.exit(main())
