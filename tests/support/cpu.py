"""CPU time of processes, to distinguish waiting from busy waiting."""

import time
from collections.abc import Mapping

import psutil


def cpu_shares(pids: Mapping[str, int], seconds: float) -> dict[str, float]:
    """Observe processes for `seconds`; return the share of one core that each has used."""
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    before = {name: _cpu_seconds(process) for name, process in processes.items()}
    started = time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - started
    shares = {name: (_cpu_seconds(process) - before[name]) / elapsed
              for name, process in processes.items()}  # fmt: skip
    print(*(f"{name} used {share:.1%} of a core" for name, share in shares.items()), sep="\n")
    return shares


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
