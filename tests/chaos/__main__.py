"""`python -m tests.chaos --images 5000 --kills 100 --seed 7`: one run, its figures, its verdict."""

import argparse
import json
import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.plan import FULL, Plan
from tests.chaos.report import table, write_readme
from tests.chaos.run import run
from tests.support.redis_server import server_binaries


def main() -> int:
    """Run; 0 if every promise held."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--images", type=int, default=FULL["images"])
    parser.add_argument("--kills", type=int, default=FULL["kills"])
    parser.add_argument("--poisons", type=int, default=FULL["poisons"])
    parser.add_argument("--fault-seconds", type=float, default=Plan.fault_seconds)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--server", choices=sorted(server_binaries()), default="valkey")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    parser.add_argument("--keep", type=Path, help="folder for logs and data; else a temporary one")
    args = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if args.seed is None else args.seed
    print(f"seed {seed}", flush=True)
    plan = Plan(
        args.images, args.kills, seed, args.poisons, args.server, fault_seconds=args.fault_seconds
    )
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures = run(plan, folder)
    print(json.dumps(figures.as_json(), indent=2))
    print(table(figures))
    if figures.passed and args.readme:
        write_readme(figures)
    return 0 if figures.passed else 1


if __name__ == "__main__":
    sys.exit(main())
