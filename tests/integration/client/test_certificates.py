"""Both clients and a server with a certificate: only one that is trusted, and names it, is used."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from plate_detect_client import RetryPolicy, UnreachableError
from tests.integration.client.conftest import Connect
from tests.integration.dispatcher.receiver import Receiver, listening, respond
from tests.support.certificates import LOOPBACK, Certificates, index_certificates, make_certificates

pytestmark = pytest.mark.integration

PATIENT = RetryPolicy(base_seconds=60)
"""With it a call that is repeated exceeds the test's time."""


def of_server(files: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.server, files.server_key)
    return context


def trusting(files: Certificates) -> dict[str, Any]:
    """Return the options of a client of either kind that trusts the authority."""
    return {"verify": ssl.create_default_context(cafile=files.ca), "trust_env": False}


@pytest.mark.parametrize(
    ("names", "is_trusted", "reason"),
    [
        (LOOPBACK, False, "unable to get local issuer certificate"),
        ("DNS:example.org,IP:192.0.2.1", True, "IP address mismatch"),
    ],
    ids=["a foreign authority", "another name"],
)
async def test_a_foreign_certificate_is_refused_at_once(
    connect: Connect, tmp_path: Path, names: str, is_trusted: bool, reason: str
) -> None:
    files = make_certificates(tmp_path, names)
    receiver = Receiver(respond(204))
    async with listening(receiver, tls=of_server(files)):
        url = f"https://127.0.0.1:{receiver.port}"
        options = {"own": trusting(files)} if is_trusted else {}
        async with connect(url, "a-secret", retry=PATIENT, **options) as client:
            for call in (client.delete("t1"), client.wait("t1"), client.submit([("a.jpg", b"x")])):
                with pytest.raises(UnreachableError, match="is not accepted: .*" + reason):
                    await call
    assert not receiver.received


async def test_an_own_authority_is_trusted(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_certificates(tmp_path)
    receiver = Receiver(respond(204))
    async with listening(receiver, tls=of_server(files)):
        url = f"https://localhost:{receiver.port}"
        async with connect(url, own=trusting(files)) as client:
            await client.delete("t1")
        monkeypatch.setenv("SSL_CERT_FILE", str(files.ca))  # with no client of one's own
        async with connect(url) as client:
            await client.delete("t1")
        # The system's store has both a file and a folder: the folder alone has the authority.
        index_certificates(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(files.client))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        async with connect(url) as client:
            await client.delete("t1")
    assert len(receiver.received) == 3
