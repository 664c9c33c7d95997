"""Webhooks over https: sent only to a receiver with a trusted certificate."""

import shutil
import ssl
from pathlib import Path

import pytest

from tests.support.certificates import make_certificates
from tests.support.pictures import scene_file
from tests.support.receiver import receiving
from tests.support.redis_server import RedisServer
from tests.support.service import running, wait_until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not shutil.which("openssl"), reason="certificates need openssl"),
]


def test_a_receiver_with_an_untrusted_certificate_gets_nothing(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    files = make_certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.server, files.server_key)
    with receiving(tls=tls) as receiver, running(
        own_redis.url, tmp_path, "producer", "worker", "dispatcher", MODEL_PATH="stand-in:10",
        BACKEND_UPLOAD_URL=f"{receiver.url}/upload", WEBHOOK_RETRY_SECONDS="0.2",
        BACKEND_CALLBACK_URL=f"{receiver.url}/callback",
    ) as service:  # fmt: skip
        service.submit(("a.jpg", scene_file(0)))
        dispatcher = service.roles["dispatcher"]
        refused = "ClientConnectorCertificateError"
        wait_until(lambda: dispatcher.log.count(refused) >= 4, 30, lambda: service.logs)
        assert not receiver.uploads
        assert not receiver.callbacks
        # With the authority trusted by the system, the due webhooks arrive.
        assert dispatcher.terminate() == 0
        service._environment["SSL_CERT_FILE"] = str(files.ca)
        service.start("dispatcher")
        wait_until(
            lambda: len(receiver.uploads) == len(receiver.callbacks) == 1,
            30, lambda: service.logs,
        )  # fmt: skip
