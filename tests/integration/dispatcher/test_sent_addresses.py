"""What arrives at a receiver of the address that was configured."""

import asyncio
from pathlib import Path

import pytest

from consumer.dispatcher.webhook import DeliveryKind
from consumer.settings import DispatcherSettings
from tests.integration.dispatcher.posting import post

pytestmark = pytest.mark.integration


async def request_head(userinfo: str, target: str, folder: Path, kind: DeliveryKind) -> list[str]:
    """Lines of the head that a raw server reads."""
    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://{userinfo}127.0.0.1:{port}{target}"
        # As settings hand it over, so that neither of the two changes it.
        settings = DispatcherSettings(_env_file=None, backend_upload_url=url)
        assert settings.backend_upload_url is not None
        await post(settings.backend_upload_url, folder, kind=kind)
    return heads[0].split("\r\n")


@pytest.mark.parametrize("kind", list(DeliveryKind))
@pytest.mark.parametrize(
    "target",
    [
        "/hook/%2F%3A%40%28%29%2C",
        "/hook/%2f%3a%40%c3%a9?sig=%2B%2f%3D%20+&next=http%3A%2F%2Fx",
        "/a%20b+c/../d//e/~'()*!$&,;=:@",
        "/hook?",
        "/hook?a=b?c=d&e=/f:@",
    ],
)
async def test_path_and_query_arrive_as_they_were_written(
    tmp_path: Path, target: str, kind: DeliveryKind
) -> None:
    lines = await request_head("", target, tmp_path, kind)
    assert lines[0] == f"POST {target} HTTP/1.1"


async def test_user_and_password_arrive_as_a_header_and_a_fragment_does_not(
    tmp_path: Path,
) -> None:
    lines = await request_head("u%40:p%C3%A4%3A@", "/x#part", tmp_path, DeliveryKind.CALLBACK)
    assert lines[0] == "POST /x HTTP/1.1"
    assert "Authorization: Basic dUA6cMOkOg==" in lines
