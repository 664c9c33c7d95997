"""`plate-detect submit`: images go to a service in tasks, and results come back into their tree."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from click.testing import Result
from typer.testing import CliRunner

from cli.images.submit import KEY_VARIABLE, URL_VARIABLE
from cli.main import app
from schemas.settings.misspelled import misspellings
from tests.support.certificates import make_certificates
from tests.support.pictures import encoded, pixels_of, scene, scene_file
from tests.support.ports import free_port
from tests.support.service import Service, running

pytestmark = pytest.mark.integration

KEY = "a-secret-key-of-this-test"
LIMITS = {"MAX_FILES_PER_REQUEST": "3", "MAX_FILE_SIZE_BYTES": "300000"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_redis: Any) -> Iterator[Service]:
    """A service that needs a key, with low limits."""
    folder = tmp_path_factory.mktemp("service")
    settings = {**LIMITS, "MODEL_PATH": "stand-in:0", "CORNERS_MODEL_PATH": "none"}
    with running(
        running_redis.url, folder, "producer", "worker", API_KEYS=KEY, **settings
    ) as service:
        yield service


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos in a tree, of different sizes."""
    for number, name in enumerate(("a.png", "a.jpg", "deep/b.png", "deep/er/c.png", "d.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(scene().rgb[: 32 + 16 * number, :64], "PNG"))
    return tmp_path / "photos"


async def submit(
    photos: Path, url: str, *options: str, key: str = KEY, **environment: str
) -> Result:
    """Run the command; the report is beside the photos."""
    report = photos.parent / "report.jsonl"
    return await asyncio.to_thread(
        CliRunner().invoke, app,
        ["submit", str(photos), "--url", url, "--json", str(report), *options],
        env={KEY_VARIABLE: key, "COLUMNS": "300", **environment},
    )  # fmt: skip


def rows(photos: Path) -> dict[str, dict[str, Any]]:
    lines = (photos.parent / "report.jsonl").read_text().splitlines()
    found = {str(Path(row["input"]).relative_to(photos)): row for row in map(json.loads, lines)}
    assert len(found) == len(lines)
    return found


def outputs(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the path of each result below `out`."""
    return {name: row["output"].partition("/out/")[2] for name, row in found.items()}


def codes(photos: Path) -> dict[str, str]:
    return {name: row["error"]["code"] for name, row in rows(photos).items() if row["error"]}


async def test_results_come_back_into_the_tree_and_only_once(
    service: Service, photos: Path
) -> None:
    out = photos.parent / "out"
    done = await submit(photos, service.url + "/", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert len(done.stdout.split()) == 2  # the service takes three images, not 50
    found = rows(photos)
    assert outputs(found) == {
        "a.jpg": "a.webp", "a.png": "a.png.webp", "d.png": "d.webp",
        "deep/b.png": "deep/b.webp", "deep/er/c.png": "deep/er/c.webp",
    }  # fmt: skip
    for name, output in outputs(found).items():  # each has the size of its own photo
        before, after = (photos / name).read_bytes(), (out / output).read_bytes()
        assert pixels_of(before).shape == pixels_of(after).shape
    assert {row["task_id"] for row in found.values()} == set(done.stdout.split())
    again = await submit(photos, service.url, "--out", str(out))
    assert (again.exit_code, again.stdout) == (0, "")
    assert {row["status"] for row in rows(photos).values()} == {"unchanged"}


async def test_only_ids_without_waiting(service: Service, photos: Path) -> None:
    done = await submit(photos, service.url, "--max-files", "3")
    assert done.exit_code == 0
    tasks = Counter(row["task_id"] for row in rows(photos).values())
    assert sorted(tasks.values()) == [2, 3]
    assert set(done.stdout.split()) == set(tasks)
    assert {row["status"] for row in rows(photos).values()} == {"submitted"}


async def test_each_failure_is_of_one_image(service: Service, photos: Path) -> None:
    (photos / "damaged.jpg").write_bytes(scene_file(0)[:5000])
    (photos / "large.jpg").write_bytes(scene_file(0, width=2400))
    (photos / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (photos / "gone.jpg").symlink_to(photos / "nowhere")
    done = await submit(photos, service.url, "--wait")
    assert done.exit_code == 1
    assert codes(photos) == {
        "damaged.jpg": "corrupt_image", "large.jpg": "file_too_large",
        "phone.heic": "unsupported_format", "gone.jpg": "cannot_read",
    }  # fmt: skip
    assert Counter(row["status"] for row in rows(photos).values()) == {"covered": 5, "failed": 4}
    assert "5 covered, 4 failed" in done.stderr


async def test_a_wrong_key_is_one_line_without_the_key(service: Service, photos: Path) -> None:
    done = await submit(photos, service.url, key="a-wrong-key-of-this-test")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        f"plate-detect: {service.url} responds with 401 Send a valid API key as X-API-Key or as"
        " Authorization: Bearer."
    )
    assert "a-wrong-key" not in done.output


async def test_no_server_is_one_line_without_the_password(photos: Path) -> None:
    port = free_port()
    done = await submit(photos, f"http://me:hunter2@localhost:{port}", "--timeout", "1")
    assert done.exit_code == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"plate-detect: http://localhost:{port} cannot be used: ")
    assert "hunter2" not in done.output


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host", "http://", "http://host?a=b", "http://[::1", ""]
)
async def test_an_address_that_is_none(url: str, photos: Path) -> None:
    done = await submit(photos, url)
    assert done.exit_code == 2
    assert "http(s)://host" in done.output


@asynccontextmanager
async def in_front_of(
    service: Service,
    faults: list[web.Response | None],
    *,
    at_first: Callable[[], object] = bool,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Yield the address of a proxy below a path, which answers first with ``faults``.

    None: the request is passed on, and the connection is cut instead of a response. ``at_first`` is
    called before the first response.
    """
    calls = iter([at_first])

    async def handle(request: web.Request) -> web.StreamResponse:
        next(calls, bool)()
        fault = faults.pop(0) if faults else web.Response()
        if fault is not None and fault.status != 200:
            return fault
        body = await request.read()
        path = request.path_qs.removeprefix("/plates")
        async with ClientSession() as session:
            headers = {k: v for k, v in request.headers.items() if k != "Host"}
            url = service.url + path
            async with session.request(request.method, url, data=body, headers=headers) as got:
                content = await got.read()
                if fault is None:
                    assert request.transport is not None
                    request.transport.abort()
                return web.Response(status=got.status, body=content, content_type=got.content_type)

    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/plates/{rest:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}/plates"
    finally:
        await runner.cleanup()


async def test_a_busy_service_is_asked_again_and_no_task_is_made_twice(
    service: Service, photos: Path
) -> None:
    for name in ("a.jpg", "a.png", "d.png"):
        (photos / name).unlink()
    faults: list[web.Response | None] = [
        web.Response(status=503, headers={"Retry-After": "1"}), None, web.Response(status=502),
    ]  # fmt: skip
    out = photos.parent / "out"
    async with in_front_of(service, faults) as url:
        done = await submit(photos, url, "--out", str(out))
    assert done.exit_code == 0, done.output
    assert faults == []
    (task_id,) = done.stdout.split()  # the one that the lost response named
    assert {row["task_id"] for row in rows(photos).values()} == {task_id}
    assert len(list(out.rglob("*.webp"))) == 2


async def test_an_image_that_vanishes_fails_alone(service: Service, photos: Path) -> None:
    faults: list[web.Response | None] = [web.Response(status=503, headers={"Retry-After": "0"})]
    vanish = (photos / "a.png").unlink
    async with in_front_of(service, faults, at_first=vanish) as url:
        done = await submit(photos, url, "--max-files", "2")
    assert done.exit_code == 1
    assert codes(photos) == {"a.png": "cannot_read"}
    assert Counter(row["status"] for row in rows(photos).values()) == {"submitted": 4, "failed": 1}


async def test_a_certificate_of_an_own_authority(service: Service, photos: Path) -> None:
    files = make_certificates(photos.parent)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.server, files.server_key)
    async with in_front_of(service, [], tls=tls) as url:
        refused = await submit(photos, url)
        assert refused.exit_code == 1
        assert "cannot be used: no response: its certificate is not accepted: " in refused.stderr
        trusted = await submit(photos, url, SSL_CERT_FILE=str(files.ca))
        assert trusted.exit_code == 0, trusted.output


async def test_a_redirect_is_not_followed(service: Service, photos: Path) -> None:
    faults: list[web.Response | None] = [
        web.Response(status=308, headers={"Location": "http://192.0.2.1/"})
    ] * 10
    async with in_front_of(service, faults) as url:
        done = await submit(photos, url)
    assert done.exit_code == 1
    assert "it redirects; use the address that it redirects to" in done.stderr


async def test_a_page_of_a_proxy_is_no_result(service: Service, photos: Path) -> None:
    page = web.Response(status=202, text="<html>Please log in</html>", content_type="text/html")
    async with in_front_of(service, [page]) as url:
        done = await submit(photos, url)
    assert done.exit_code == 1
    assert done.stderr.rstrip().endswith("is not a plate-detect service")


async def test_a_task_that_does_not_change_is_given_up(photos: Path, running_redis: Any) -> None:
    with running(running_redis.url, photos.parent, "producer", KEY_PREFIX="{idle}") as idle:
        done = await submit(photos, idle.url, "--wait", "--timeout", "1")
    assert done.exit_code == 1
    assert set(codes(photos).values()) == {"no_progress"}
    assert "0 of 5 images are done" in done.stderr


def test_the_variables_of_the_command_stop_no_role() -> None:
    variables = {URL_VARIABLE: "http://host", KEY_VARIABLE: KEY}
    assert not list(misspellings(variables, all_set=variables, is_file=False))
