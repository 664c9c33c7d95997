"""Metrics that every role has: memory, CPU and open files of its process, and its memory limit."""

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

_CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")


def add_process_metrics(registry: CollectorRegistry) -> None:
    """Register the metrics of this process."""
    ProcessCollector(registry=registry)
    limit = Gauge("plate_memory_limit_bytes", "Memory that the process may use", registry=registry)
    limit.set_function(usable_memory_bytes)


def usable_memory_bytes() -> int:
    """Return the memory of the machine, or what a container may use of it."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(_CGROUP_MEMORY.read_text())
    except (OSError, ValueError):  # no cgroup v2, or no limit: `max`
        limit = physical
    return min(physical, limit)
