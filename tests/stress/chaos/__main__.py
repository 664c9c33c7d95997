"""Run the chaos test once; print its figures and whether it passed.

`python -m tests.stress.chaos --images 5000 --kills 100 --seed 7`; with `--recovery`, the
times that it takes to recover from one fault at a time.
"""

import argparse
import json
import secrets
import sys
import tempfile
from pathlib import Path

from tests.stress.chaos.plan import FULL, ChaosPlan
from tests.stress.chaos.recovery import measure
from tests.stress.chaos.report import table
from tests.stress.chaos.run import run
from tests.support.environment import forget_settings
from tests.support.redis_server import server_binaries
from tests.support.tables import write_table

RECOVERY_KILLS = 30


def main() -> int:
    """Run; return 0 if all checks passed, else 1."""
    forget_settings()
    args = _arguments()
    seed = secrets.randbelow(1_000_000) if args.seed is None else args.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if args.recovery:
            recovery = measure(RECOVERY_KILLS, seed, args.server, folder)
            told, shown, passed = recovery.as_json(), recovery.table(), recovery.passed
        else:
            figures = run(_plan(args, seed), folder)
            told, shown, passed = figures.as_json(), table(figures), figures.passed
    print(json.dumps(told, indent=2))
    print(shown)
    if passed and args.write:
        write_table("recovery" if args.recovery else "chaos", shown)
    return 0 if passed else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.chaos", description=__doc__)
    parser.add_argument("--images", type=int, default=FULL["images"])
    parser.add_argument("--kills", type=int, default=FULL["kills"])
    parser.add_argument("--poisons", type=int, default=FULL["poisons"])
    parser.add_argument("--upgrades", type=int, default=FULL["upgrades"])
    parser.add_argument("--fault-seconds", type=float, default=ChaosPlan.fault_seconds)
    parser.add_argument("--image-ms", type=int, default=FULL["image_ms"])
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--server", choices=sorted(server_binaries()), default="valkey")
    parser.add_argument("--recovery", action="store_true", help="measure the times of recovery")
    parser.add_argument("--write", action="store_true", help="write the table into docs/")
    parser.add_argument("--keep", type=Path, help="folder for logs and data; else a temporary one")
    return parser.parse_args()


def _plan(args: argparse.Namespace, seed: int) -> ChaosPlan:
    return ChaosPlan(
        args.images, args.kills, seed, args.poisons, args.upgrades, server=args.server,
        fault_seconds=args.fault_seconds, image_ms=args.image_ms,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
