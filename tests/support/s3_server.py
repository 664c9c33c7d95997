"""An S3 server on loopback, in this process, that counts requests."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "plates"
ACCESS = {
    "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
}  # fmt: skip


class S3Server:
    """`requests`: how many there were of each kind, like `POST` and `POST ?delete`; `headers`: of
    each request.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self._serve = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._count, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="s3")
        self._thread.start()

    def client(self) -> Any:
        """Return a client of Amazon's own library."""
        return boto3.client(
            "s3", endpoint_url=self.url, region_name=ACCESS["AWS_REGION"],
            aws_access_key_id=ACCESS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ACCESS["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip

    def stop(self) -> None:
        """Stop it; its objects are gone."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _count(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        query = environ["QUERY_STRING"].partition("&")[0].partition("=")[0]
        self.requests[f"{environ['REQUEST_METHOD']} ?{query}".rstrip(" ?")] += 1
        self.headers.append({k: v for k, v in environ.items() if k.startswith("HTTP_")})
        response: Iterable[bytes] = self._serve(environ, start)
        return response


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server with one empty bucket during a block."""
    server = S3Server()
    client = server.client()
    try:
        client.create_bucket(Bucket=BUCKET)
        yield server
    finally:
        client.close()
        server.stop()
