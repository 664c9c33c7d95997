"""What a cluster does to the processes: variables of other Services, and what KEDA measures."""

import io
from pathlib import Path

import pytest
from PIL import Image
from redis import Redis

from schemas.redis.keys import Keys
from schemas.settings.misspelled import SETTINGS
from tests.support.kubernetes import ROLES
from tests.support.service import running, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def photo() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (320, 240), (90, 120, 60)).save(file, "JPEG")
    return file.getvalue()


def service_links(name: str, port: int) -> dict[str, str]:
    """Return what Kubernetes sets in each container of a namespace for one Service.

    https://kubernetes.io/docs/tutorials/services/connect-applications-service/#accessing-the-service
    """
    address = f"tcp://10.43.0.5:{port}"
    return {
        f"{name}_SERVICE_HOST": "10.43.0.5", f"{name}_SERVICE_PORT": str(port),
        f"{name}_SERVICE_PORT_HTTP": str(port), f"{name}_PORT": address,
        f"{name}_PORT_{port}_TCP": address, f"{name}_PORT_{port}_TCP_PROTO": "tcp",
        f"{name}_PORT_{port}_TCP_PORT": str(port), f"{name}_PORT_{port}_TCP_ADDR": "10.43.0.5",
    }  # fmt: skip


def test_services_of_any_name_do_no_harm(redis_server: str, tmp_path: Path) -> None:
    """A Service may have the name of any setting; enableServiceLinks may be left on."""
    names = {*SETTINGS, *(name.rpartition("_PORT")[0] for name in SETTINGS if "_PORT" in name)}
    names |= {"REDIS", "METRICS", "API_KEY", "PLATE_DETECT_PRODUCER", "WEBHOOK", "S3"}
    links = {key: value for name in sorted(names) for key, value in service_links(name, 80).items()}
    assert {"REDIS_PORT", "METRICS_PORT", "API_KEYS_PORT", "API_KEY_PORT"} <= set(links)
    with running(
        redis_server, tmp_path, *ROLES, **{**links, "MODEL_PATH": "stand-in:1"}
    ) as service:
        task_id = service.submit(("a.jpg", photo()))
        assert service.wait_final(task_id)["status"] == "completed"
        wait_until(lambda: "dispatcher ready" in service.logs, 30, lambda: service.logs)
        assert "unknown settings" not in service.logs


def test_the_streams_that_keda_measures_are_as_long_as_what_waits(
    redis_server: str, tmp_path: Path
) -> None:
    """Also while there is no worker, and 0 when all is done: so workers scale to 0 and from it."""
    keys = Keys("{plates}")
    with Redis.from_url(redis_server) as redis:

        def lengths() -> tuple[int, int]:
            return redis.xlen(keys.images), redis.xlen(keys.corrections)

        with running(redis_server, tmp_path, "producer", MODEL_PATH="stand-in:1") as service:
            assert lengths() == (0, 0)
            tasks = [service.submit(*[("a.jpg", photo())] * 3) for _ in range(2)]
            assert lengths() == (6, 0)
            service.start("worker")
            for task_id in tasks:
                assert service.wait_final(task_id)["status"] == "completed"
            wait_until(lambda: lengths() == (0, 0), 30, "the streams to be empty")
