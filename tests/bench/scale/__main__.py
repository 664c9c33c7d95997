"""Throughput, cost and limits as workers and queue grow.

`python -m tests.bench.scale`; with `--write`, the figures go into docs/.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.scale.report import markdown
from tests.bench.scale.run import QUICK, Plan, run
from tests.support.environment import forget_settings
from tests.support.redis_server import server_binaries
from tests.support.tables import write_table

SHARE_WANTED = 0.9


def main() -> int:
    """Measure; 0 if the most workers reach the share of ideal that is asked for."""
    forget_settings()
    args = _arguments()
    started = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {line}", file=sys.stderr, flush=True)

    options = QUICK if args.quick else {}
    if args.points:
        options = {**options, "points": args.points}
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        figures = run(Plan(args.server, **options), Path(folder), report)  # type: ignore[arg-type]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(figures.as_json(), indent=1), encoding="utf-8")
    shown = markdown(figures)
    print(shown)
    report(f"written: {args.out}")
    share = figures.points[-1].share_of_ideal
    if share < args.at_least:
        report(f"only {share:.2f} of ideal, {args.at_least} are wanted")
        return 1
    if args.write:
        write_table("scale", shown)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--server", choices=sorted(server_binaries()), default="valkey")
    parser.add_argument("--quick", action="store_true", help="in half a minute, less exactly")
    parser.add_argument("--points", type=_numbers, help="numbers of workers: 1,8,64")
    parser.add_argument("--at-least", type=float, default=SHARE_WANTED, help="share of ideal")
    parser.add_argument("--out", type=Path, default=Path("build/bench/scale.json"))
    parser.add_argument("--write", action="store_true", help="write the figures into docs/")
    return parser.parse_args()


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(sorted({int(part) for part in text.split(",")}))
    if numbers[0] < 1:
        raise argparse.ArgumentTypeError("numbers of workers start at 1")
    return numbers


if __name__ == "__main__":
    sys.exit(main())
