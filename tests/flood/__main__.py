"""`python -m tests.flood`: flood a service; with `--readme`, the figures go into README.md."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.flood.run import ROLES, Figures, Plan, run
from tests.support.environment import forget_settings
from tests.support.tables import write_table

WORKER_MIB = 1500.0
"""Most memory of the worker above what it takes idle, with its model loaded."""

FLAT = 1.1


def main() -> int:
    """Flood; 0 if memory stayed within its bounds."""
    forget_settings()
    parser = argparse.ArgumentParser(prog="python -m tests.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--readme", action="store_true", help="write the figures into README.md")
    args = parser.parse_args()
    started = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {line}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="flood-") as folder:
        figures = run(Plan(seconds=args.seconds), Path(folder), tell)
    print(markdown(figures))
    for line in (found := violations(figures)):
        tell(line)
    if args.readme and not found:
        write_table("flood", markdown(figures))
    return bool(found)


def violations(figures: Figures) -> list[str]:
    """What was not within its bounds."""
    found = list(figures.unexpected)
    over = figures.peak("worker") - figures.idle["worker"]
    if over > WORKER_MIB:
        found.append(f"the worker took {over:.0f} MiB over its model")
    found += [f"{role} grew by {figures.growth(role):.2f}"
              for role in ROLES if figures.growth(role) > FLAT]  # fmt: skip
    if not figures.refused:
        found.append("nothing was refused: it was no flood")
    return found


def markdown(figures: Figures) -> str:
    """A table of what was done and what it took."""
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
