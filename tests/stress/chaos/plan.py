"""What a run does: its size, its seed, and the settings of the service under test."""

from dataclasses import dataclass

LEASE_SECONDS = 2.0
UPLOAD_GRACE_SECONDS = 12.0
CONSUMER_IDLE_SECONDS = 6.0


@dataclass(frozen=True)
class ChaosPlan:
    """A run goes on until so many images were accepted, processes killed and upgrades done."""

    images: int
    kills: int
    seed: int
    poisons: int
    upgrades: int = 1
    server: str = "valkey"
    workers: int = 4
    dispatchers: int = 2
    producers: int = 2
    fault_seconds: float = 2.0
    image_ms: int = 100
    backlog: int = 150
    settle_seconds: float = 120.0
    limit_seconds: float = 600.0


SHORT = {"images": 300, "kills": 10, "poisons": 1, "upgrades": 1, "fault_seconds": 1.5}
FULL = {"images": 5000, "kills": 100, "poisons": 6, "upgrades": 6, "image_ms": 200}


def model_path(plan: ChaosPlan, version: int) -> str:
    """Return MODEL_PATH of a version: the digests differ, the covers do not."""
    return f"stand-in:{plan.image_ms}:half:v{version}"


def upgraded_settings(plan: ChaosPlan, kind: str, version: int) -> dict[str, str]:
    """Return what an upgrade changes in a role's settings; version 0 is that of the start."""
    return {
        "worker": {"MODEL_PATH": model_path(plan, version)},
        "dispatcher": {"WEBHOOK_RETRY_SECONDS": f"0.5,1,{2 + version}"},
        "producer": {"MAX_BACKLOG_IMAGES": str(2 * plan.backlog + version)},
    }[kind]


def settings(plan: ChaosPlan, *, poison: str, backend_url: str) -> dict[str, str]:
    """Environment of every process of the service."""
    return {
        **upgraded_settings(plan, "worker", 0),
        # Fixed, so that an image that is processed twice has the same bytes.
        "WEBP_METHOD": "2",
        "PLATE_DETECT_TEST_POISON": poison,
        "PROCESSING_THREADS": "1",
        "COVER_MODE": "fill",
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "DRAIN_SECONDS": "10",
        "METRICS_PORT": "0",
        "HOST": "127.0.0.1",
        "LOG_FORMAT": "json",
        "MAX_BACKLOG_IMAGES": str(2 * plan.backlog),
        "UPLOAD_TIMEOUT_SECONDS": "8",
        "UPLOAD_GRACE_SECONDS": str(UPLOAD_GRACE_SECONDS),
        "SWEEP_INTERVAL_SECONDS": "1",
        "CONSUMER_IDLE_SECONDS": str(CONSUMER_IDLE_SECONDS),
        "BACKEND_UPLOAD_URL": f"{backend_url}/upload",
        "BACKEND_CALLBACK_URL": f"{backend_url}/callback",
        "WEBHOOK_TIMEOUT_SECONDS": "5",
        "WEBHOOK_UPLOAD_TIMEOUT_SECONDS": "5",
        "WEBHOOK_RETRY_SECONDS": "0.5,1,2",
    }
