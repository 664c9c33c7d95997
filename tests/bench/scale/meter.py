"""What a server reports of its work: CPU, memory, commands, bytes; and their growth."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from redis import Redis

from schemas.redis.keys import WORKERS_GROUP, Keys

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters of a server since its start; `at` is this process' clock."""

    at: float
    cpu_seconds: float
    reads: int
    bytes_in: int
    bytes_out: int
    log_bytes: int
    used_memory: int
    commands: dict[str, tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Work:
    """What a server did between two snapshots.

    `round_trips`: reads from its connections, one for each request or pipeline of requests.
    `commands`: calls and microseconds by name; what scripts call is among them.
    """

    seconds: float
    cpu_seconds: float
    round_trips: int
    bytes_in: int
    bytes_out: int
    log_bytes: int
    memory_bytes: int
    commands: dict[str, tuple[int, float]]

    def microseconds(self, command: str) -> float:
        """Mean time of the server in one call."""
        calls, total = self.commands.get(command, (0, 0.0))
        return total / calls if calls else 0.0


class Meter:
    """Reads a server's counters, without the requests of its own connection."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.redis = redis
        self.keys = keys
        self._own_requests = 0

    def snapshot(self) -> Snapshot:
        """Read the counters."""
        self._own_requests += 1
        info: dict[str, Any] = self.redis.info("everything")
        return Snapshot(
            at=time.monotonic(),
            cpu_seconds=info["used_cpu_user"] + info["used_cpu_sys"],
            reads=info["total_reads_processed"] - self._own_requests,
            bytes_in=info["total_net_input_bytes"],
            bytes_out=info["total_net_output_bytes"],
            log_bytes=info.get("aof_current_size", 0),
            # Without the buffers of connections and of the log, which come and go.
            used_memory=info["used_memory"] - info["mem_clients_normal"] - info["mem_aof_buffer"],
            commands={
                name.removeprefix("cmdstat_"): (row["calls"], row["usec"])
                for name, row in info.items()
                if name.startswith("cmdstat_")
            },
        )

    def since(self, before: Snapshot) -> Work:
        """The server's work since a snapshot."""
        now = self.snapshot()
        return Work(
            seconds=now.at - before.at,
            cpu_seconds=now.cpu_seconds - before.cpu_seconds,
            round_trips=now.reads - before.reads,
            bytes_in=now.bytes_in - before.bytes_in,
            bytes_out=now.bytes_out - before.bytes_out,
            log_bytes=now.log_bytes - before.log_bytes,
            memory_bytes=now.used_memory - before.used_memory,
            commands=_difference(now.commands, before.commands),
        )

    def queued(self) -> int:
        """Entries of the work stream: waiting and in work."""
        self._own_requests += 1
        return int(self.redis.xlen(self.keys.images))

    def members(self) -> int:
        """Consumers that the workers' group knows."""
        self._own_requests += 1
        return len(self.redis.xinfo_consumers(self.keys.images, WORKERS_GROUP))

    def rate(self, seconds: float) -> float:
        """Images settled a second: the slope through many samples, which steps do not distort."""
        started = time.monotonic()
        rows = []
        while (now := time.monotonic()) - started < seconds:
            rows.append((now - started, self.queued()))
            time.sleep(SAMPLE_SECONDS)
        at, left = np.array(rows, float).T
        assert left[-1] > 0, "the queue ran empty while it was measured"
        return float(-np.polyfit(at, left, 1)[0])


def _difference(
    now: dict[str, tuple[int, float]], before: dict[str, tuple[int, float]]
) -> dict[str, tuple[int, float]]:
    return {
        name: (calls - before.get(name, (0, 0.0))[0], usec - before.get(name, (0, 0.0))[1])
        for name, (calls, usec) in now.items()
        if calls > before.get(name, (0, 0.0))[0]
    }
