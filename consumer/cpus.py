"""The number of CPUs that this process may use."""

import math
import os
from pathlib import Path

_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus() -> int:
    """Return the number of CPUs by affinity and by the container's quota, at least 1.

    A container sees all CPUs of its host, but may get the time of a few. Source of the quota:
    cgroup v2 `cpu.max`, "<quota µs or max> <period µs>".
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = _CGROUP_LIMIT.read_text().split()
        limit = math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        limit = math.inf
    return max(1, min(allowed or 1, math.ceil(limit) if limit < math.inf else 1 << 16))
