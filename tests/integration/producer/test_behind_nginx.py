"""The producer behind a real nginx, under a path prefix.

With the documented configuration, and with what ingress-nginx makes of deploy/kubernetes/ingress.
"""

import asyncio
import io
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
import yaml
from yarl import URL

from tests.integration.producer.conftest import (
    JPEG,
    UPLOAD,
    RunningProducer,
    StartProducer,
    eventually,
)
from tests.support.documents import OPERATING
from tests.support.kubernetes import FOLDER
from tests.support.ports import free_port
from tests.support.programs import needed_program

pytestmark = pytest.mark.integration

INGRESS = FOLDER / "ingress" / "ingress.yaml"

_CONFIG = """\
daemon off;
pid nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    {temporary}
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


def documented(producer_port: int) -> str:
    """Return the location of docs/operating.md."""
    found = re.search(r"```nginx\n(.*?)```", OPERATING.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    location = found[1].replace("127.0.0.1:8000", f"127.0.0.1:{producer_port}")
    assert str(producer_port) in location
    return location


def of_ingress(producer_port: int) -> str:
    """Return the location that ingress-nginx writes for the Ingress.

    https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/
    """
    ingress = yaml.safe_load(INGRESS.read_text(encoding="utf-8"))
    values = {
        name.partition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()
    }
    assert values.pop("use-regex") == "true"
    [rule] = ingress["spec"]["rules"]
    [entry] = rule["http"]["paths"]
    target = values.pop("rewrite-target")
    directives = {"proxy-body-size": "client_max_body_size"}
    lines = [f"{directives.get(name, name.replace('-', '_'))} {values[name]};" for name in values]
    return f"""
        location ~* "^{entry["path"]}" {{
            rewrite "(?i){entry["path"]}" {target} break;
            proxy_set_header Host $http_host;
            proxy_pass http://127.0.0.1:{producer_port};
            {" ".join(lines)}
        }}"""


def configuration(port: int, location: str) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return _CONFIG.format(
        port=port, location=location,
        temporary=" ".join(f"{kind}_temp_path {kind};" for kind in kinds),
        user="user root;" if os.getuid() == 0 else "",
    )  # fmt: skip


@asynccontextmanager
async def proxied(
    folder: Path,
    port: int,
    producer: RunningProducer,
    location: Callable[[int], str] = documented,
) -> AsyncIterator[str]:
    """Run nginx in front of a producer; give the address under its prefix."""
    (folder / "nginx.conf").write_text(configuration(port, location(producer.port)))
    command = [needed_program("nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    process = await asyncio.create_subprocess_exec(*command)
    base = f"http://127.0.0.1:{port}/plates"

    async def answers() -> bool:
        try:
            async with producer.session.get(f"{base}/health") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    try:
        await eventually(answers)
        yield base
    finally:
        process.terminate()
        await process.wait()


Site = tuple[RunningProducer, str]


@pytest.fixture(params=["PUBLIC_URL", "TRUST_FORWARDED_PREFIX", "Ingress"])
async def site(
    request: pytest.FixtureRequest, start_producer: StartProducer, redis_server: str, tmp_path: Path
) -> AsyncIterator[Site]:
    port = free_port()
    if request.param == "TRUST_FORWARDED_PREFIX":
        settings = {"trust_forwarded_prefix": True}
    else:
        settings = {"public_url": f"http://127.0.0.1:{port}/plates"}
    producer = await start_producer(redis_server, max_file_size_bytes=5_000_000, **settings)
    location = of_ingress if request.param == "Ingress" else documented
    async with proxied(tmp_path, port, producer, location) as base:
        yield producer, base


async def test_the_ingress_keeps_metrics_inside_the_cluster(
    producer: RunningProducer, tmp_path: Path
) -> None:
    async with producer.session.get(f"{producer.url}/metrics") as response:
        assert response.status == 200
    async with proxied(tmp_path, free_port(), producer, of_ingress) as base:
        for path in (
            "/metrics",
            "//metrics",
            "/%6detrics",
            "/x/../metrics",
            "/METRICS",
            "/metrics/",
        ):
            url = URL(base + path, encoded=True)
            async with producer.session.get(url) as response:
                assert response.status == 404, path
        async with producer.session.get(base.replace("/plates", "/plates-2/health")) as response:
            assert response.status == 404


@pytest.mark.parametrize("location", [documented, of_ingress])
async def test_pages_need_no_setting(
    producer: RunningProducer, tmp_path: Path, location: Callable[[int], str]
) -> None:
    async with proxied(tmp_path, free_port(), producer, location) as base:
        for page in ("", "docs", "redoc"):
            async with producer.session.get(f"{base}/{page}") as response:
                links = re.findall(r'(?:src|href)="([^"]+)"', await response.text())
            assert len(links) >= 3
            for link in links:
                async with producer.session.get(urljoin(f"{base}/{page}", link)) as response:
                    assert response.status == 200, link
        async with producer.session.get(base) as response:
            # Behind the Ingress, the script of the page adds the slash.
            end = "/" if location is documented else ""
            assert (response.status, str(response.url)) == (200, base + end)
        async with producer.session.get(f"{base}/openapi.json") as response:
            (server,) = (await response.json())["servers"]
        assert urljoin(f"{base}/openapi.json", server["url"]) == f"{base}/"


async def test_every_address_of_a_task_leads_through_the_proxy(site: Site) -> None:
    producer, base = site
    form = aiohttp.FormData(quote_fields=False)
    big = JPEG + b"\0" * 3_000_000  # by default nginx accepts 1 MiB
    form.add_field("files", io.BytesIO(big), filename="мой файл?#%.jpg")
    async with producer.session.post(base + UPLOAD, data=form) as response:
        assert response.status == 202, await response.text()
        status_url = urljoin(str(response.url), response.headers["Location"])
    assert status_url.startswith(f"{base}/api/v1/task-status/")
    task_id = status_url.rpartition("/")[2]

    events_url = f"{base}/api/v1/task-events/{task_id}"
    async with asyncio.timeout(20), producer.session.get(events_url) as events:
        assert b"event: progress" in await events.content.readline()  # while nothing has ended
        await producer.finish_next()
        rest = (await events.content.read()).decode().splitlines()
    final = json.loads(next(line for line in reversed(rest) if line.startswith("data: "))[6:])
    async with producer.session.get(status_url) as response:
        assert await response.json() == final

    (result,) = final["results"]
    url = URL(urljoin(status_url, result["url"]), encoded=True)
    async with producer.session.get(url) as response:
        assert (response.status, await response.read()) == (200, b"covered")
        etag = response.headers["ETag"]
    for headers in ({"If-None-Match": etag}, {"If-None-Match": "*"}):
        async with producer.session.get(url, headers=headers) as response:
            assert response.status == 304
    async with producer.session.head(url) as response:
        assert (response.status, response.content_length) == (200, 7)


async def test_the_services_own_refusal_comes_through(site: Site) -> None:
    producer, base = site
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("files", io.BytesIO(JPEG + b"\0" * 6_000_000), filename="a.jpg")
    async with producer.session.post(base + UPLOAD, data=form) as response:
        assert response.status == 413
        assert response.content_type == "application/problem+json"


async def test_the_document_names_the_way_through_the_proxy(site: Site) -> None:
    producer, base = site
    async with producer.session.get(f"{base}/openapi.json") as response:
        (server,) = (await response.json())["servers"]
    assert urlsplit(urljoin(base, server["url"])).path == "/plates"
    assert urljoin(base, server["url"]) == base
