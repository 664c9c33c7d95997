"""Settings, limits of the operating system, and who may use the service."""

import resource
from collections.abc import AsyncIterator

from cli.doctor.findings import Finding, Installation, ok, warning
from consumer.host import usable_cpus
from schemas.process_metrics import usable_memory_bytes
from schemas.redis.client import MAX_CONNECTIONS

WORKER_BASE_MB = 700
"""Memory of a worker beside MEMORY_BUDGET_MB: the program and its networks, roughly."""

_SPARE_FILES = 128


async def check_settings(installation: Installation) -> AsyncIterator[Finding]:
    """Report what is set by names that are no settings, and whether keys are needed."""
    for sentence in installation.producer.misspelled:
        yield warning(sentence, "correct the name, or remove the variable")
    keys = len(installation.producer.api_keys)
    yield ok(f"they are correct; API keys: {keys or 'none, so the service is open to all'}")


async def check_system(installation: Installation) -> AsyncIterator[Finding]:
    """Check the limits of open files and of memory."""
    yield _open_files(installation)
    yield _memory(installation)


def _open_files(installation: Installation) -> Finding:
    producer = installation.producer
    needed = (producer.max_event_streams + 2 * producer.max_concurrent_uploads
              + 2 * MAX_CONNECTIONS + _SPARE_FILES)  # fmt: skip
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return ok(f"open files: {limit}")
    return warning(
        f"open files: {limit}, and a producer may need {needed}",
        f"`ulimit -n {needed}`, in systemd `LimitNOFILE={needed}`",
    )


def _memory(installation: Installation) -> Finding:
    there = usable_memory_bytes() >> 20
    needed = (installation.worker.memory_budget_bytes >> 20) + WORKER_BASE_MB
    text = f"memory: {there} MiB, {usable_cpus()} CPU(s)"
    if there >= needed:
        return ok(text)
    return warning(f"{text}; a worker may need {needed}", "lower MEMORY_BUDGET_MB")
