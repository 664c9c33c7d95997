"""The steps of a flow: requests and waits; see flows.py."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from plate_detect_client.files import Form
from plate_detect_client.targets import Body, Target

T = TypeVar("T")

CONNECT_SECONDS = 10.0

MAX_BODY_BYTES = 32 << 20
"""Longest response that is kept in memory, but for results."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. Its response is kept in memory, or written to a target, or fed to `listen`.

    `target` opens the target, once for each attempt; the response of a failure is kept in memory.
    `listen` gets each chunk of a successful response, and returns whether that is enough.
    `path` is a complete address after a redirect. `seconds` limits each wait for the network; None
    means the client's own limit.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Form | None = None
    target: Callable[[], Target] | None = None
    listen: Callable[[bytes], bool] | None = None
    seconds: float | None = None
    max_bytes: int = MAX_BODY_BYTES

    def new_body(self) -> Body:
        """Return where a response is kept in memory."""
        return Body(self.max_bytes)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """A response; without body if it went elsewhere."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the service did what was asked."""
        return 200 <= self.status < 300

    @property
    def is_redirect(self) -> bool:
        """Whether the result is in a bucket, at the address in `Location`."""
        return self.status == 307 and "://" in self.headers.get("Location", "")


NO_REPLY = Reply(0, {}, b"")
"""What a pause gives."""

Flow = Generator[Call | Pause, Reply, T]


def request_headers(call: Call, headers: Mapping[str, str]) -> dict[str, str]:
    """Return all headers of a request: those of the client, of the call and of its form.

    The client's, with the API key, go to no other address.
    """
    headers = {} if _is_elsewhere(call) else headers
    return {**headers, **call.headers, **(call.form.headers if call.form else {})}


def timeout_of(call: Call, default_seconds: float) -> httpx.Timeout:
    """Return the limits of a request."""
    seconds = default_seconds if call.seconds is None else call.seconds
    return httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))


def address_of(call: Call, base_url: str) -> str:
    """Return the address of a request."""
    return call.path if _is_elsewhere(call) else base_url + call.path


def _is_elsewhere(call: Call) -> bool:
    return "://" in call.path.partition("?")[0]
