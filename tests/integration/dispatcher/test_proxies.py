"""Webhooks through a proxy that is really there, and past it."""

import base64
import ssl
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from consumer.addresses import http_address, proxy_for
from consumer.dispatcher.webhook import DeliveryKind, DeliveryState
from tests.integration.dispatcher.conftest import World, dispatching
from tests.integration.dispatcher.forward_proxy import proxying
from tests.integration.dispatcher.posting import FILES, post
from tests.integration.dispatcher.receiver import Receiver, listening
from tests.support.certificates import make_certificates

pytestmark = pytest.mark.integration

BASIC = "Basic " + base64.b64encode(b"user:hunter2").decode()


@pytest.mark.parametrize("kind", list(DeliveryKind))
async def test_a_proxy_takes_the_request_for_the_address_as_it_is_written(
    tmp_path: Path, kind: DeliveryKind
) -> None:
    async with listening(Receiver()) as receiver, proxying() as proxy:
        url = f"http://127.0.0.1:{receiver.port}/a%2fb%3A?c=%20+%2F"
        through = http_address(f"http://127.0.0.1:{proxy.port}")
        done = await post(url, tmp_path, kind=kind, proxy=through)
    assert done.state is DeliveryState.DELIVERED
    [head], [got] = proxy.heads, receiver.received
    assert head.startswith(f"POST {url} HTTP/1.1\r\n")
    assert got.path == "/a/b:"
    assert "Proxy-Authorization" not in got.headers


async def test_a_name_that_only_the_proxy_knows_is_not_resolved_here(tmp_path: Path) -> None:
    async with proxying("no one") as proxy:
        through = http_address(f"http://127.0.0.1:{proxy.port}")
        await post("http://backend.invalid/hook", tmp_path, proxy=through)
    assert proxy.heads[0].startswith("POST http://backend.invalid/hook HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("userinfo", "state", "reason"),
    [
        ("user:hunter2@", DeliveryState.DELIVERED, "status 200"),
        ("", DeliveryState.DUE, "status 407"),
    ],
)
async def test_a_proxy_gets_user_and_password(
    tmp_path: Path, userinfo: str, state: DeliveryState, reason: str
) -> None:
    async with listening(Receiver()) as receiver, proxying(BASIC) as proxy:
        through = http_address(f"http://{userinfo}127.0.0.1:{proxy.port}")
        got = await post(receiver.url, tmp_path, proxy=through)
    assert (got.state, got.reason) == (state, reason)


@pytest.mark.parametrize("userinfo", ["user:hunter2@", ""])
async def test_https_goes_through_a_tunnel_and_only_the_proxy_gets_its_password(
    tmp_path: Path, userinfo: str
) -> None:
    files = make_certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.server, files.server_key)
    trusting = ssl.create_default_context(cafile=files.ca)
    received = []

    async def receive(request: web.Request) -> web.Response:
        received.append(request.headers)
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=tls)
    url = f"https://localhost:{server.port}/hook"
    async with proxying(BASIC) as proxy:
        through = http_address(f"http://{userinfo}127.0.0.1:{proxy.port}")
        got = await post(url, tmp_path / "storage", proxy=through, tls=trusting)
    await server.close()
    assert proxy.heads[0].startswith(f"CONNECT {url.split('/')[2]} HTTP/1.1\r\n")
    if userinfo:
        assert got.state is DeliveryState.DELIVERED
        assert "Proxy-Authorization" not in received[0]
    else:
        assert (got.state, got.reason) == (DeliveryState.DUE, "proxy: status 407")
        assert received == []


async def test_a_proxy_that_is_down_is_a_failure(tmp_path: Path) -> None:
    async with listening(Receiver()) as receiver:
        through = http_address("http://127.0.0.1:9")
        got = await post(receiver.url, tmp_path, proxy=through)
    assert (got.state, got.reason) == (DeliveryState.DUE, "ClientProxyConnectionError")


@pytest.mark.parametrize("exempt", [False, True])
async def test_the_environment_sends_webhooks_through_its_proxy_or_past_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exempt: bool
) -> None:
    async with listening(Receiver()) as receiver, proxying() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.0/8" if exempt else "")
        through = proxy_for(http_address(receiver.url).url, "env")
        done = await post(receiver.url, tmp_path, FILES, proxy=through)
    assert done.state is DeliveryState.DELIVERED
    assert len(proxy.heads) == (0 if exempt else 1)


async def test_the_dispatcher_sends_through_its_proxy_and_logs_no_password(world: World) -> None:
    await world.complete_task("t1")
    with structlog.testing.capture_logs() as lines:
        async with listening(Receiver()) as receiver, proxying(BASIC) as proxy:
            settings = world.settings(
                backend_upload_url=f"http://127.0.0.1:{receiver.port}/upload",
                backend_callback_url=f"http://127.0.0.1:{receiver.port}/callback",
                webhook_proxy=f"http://user:hunter2@127.0.0.1:{proxy.port}",
            )
            async with dispatching(settings):
                await receiver.posts(2)
                await world.delivery_state("t1", "upload", "delivered")
                await world.delivery_state("t1", "callback", "delivered")
    assert len(proxy.heads) == 2
    assert "hunter2" not in str(lines)
    assert BASIC.split()[1] not in str(lines)
