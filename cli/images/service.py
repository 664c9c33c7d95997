"""The service that images are sent to: its address, a client for it, and its errors in one line."""

import ssl

import httpx

from cli.images.sources import Fault
from plate_detect_client import (
    AsyncClient,
    NotFoundError,
    PlateDetectError,
    ProblemError,
    RequestError,
    RetryPolicy,
    UnavailableError,
    UnreachableError,
)

IDLE_SECONDS = 120.0
"""Longest wait for the service to take or to send the next bytes."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PROBLEM = "urn:plate-detect:"
_MAX_DETAIL = 500


def http_client(address: str) -> httpx.AsyncClient:
    """Return what connects to a service: it trusts the certificates that the system trusts.

    Raises PlateDetectError: the environment names a proxy that cannot be used.
    """
    try:
        return httpx.AsyncClient(
            headers={"User-Agent": "plate-detect"},
            verify=ssl.create_default_context(),
            trust_env=httpx.URL(address).host not in _LOOPBACK,  # no proxy to this machine
        )
    except (ImportError, ValueError) as error:  # SOCKS, or no address
        raise PlateDetectError("the environment names a proxy that is not http(s)://") from error


def service_client(
    address: str, api_key: str | None, http: httpx.AsyncClient, patience: float
) -> AsyncClient:
    """Return a client that repeats each call for ``patience`` seconds, if it may succeed."""
    retry = RetryPolicy(total_seconds=patience)
    return AsyncClient(address, api_key, timeout_seconds=IDLE_SECONDS, retry=retry, http=http)


def checked_address(text: str) -> str:
    """Return the address of a service without a slash at its end; raise ValueError."""
    address = text.strip()
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        raise ValueError("must be http(s)://host[:port][/path]") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise ValueError("must be http(s)://host[:port][/path]")
    return address.rstrip("/")


def shown(address: str) -> str:
    """Return an address for messages: without user and password."""
    return str(httpx.URL(address).copy_with(username="", password="")).rstrip("/")


def refusal(error: PlateDetectError) -> Fault | None:
    """Return why the service refuses a request because of its content; None: it is not that."""
    if not isinstance(error, RequestError | NotFoundError):
        return None
    problem = error.problem
    if not problem.type.startswith(_PROBLEM):  # of a proxy
        return None
    code = problem.type.removeprefix(_PROBLEM).replace("-", "_")
    return Fault(code, _one_line(problem.detail or problem.title))


def described(error: PlateDetectError, address: str) -> str:
    """Return one line that says why a service cannot be used, without any secret."""
    name = shown(address)
    if isinstance(error, UnavailableError | UnreachableError):
        reason = _said(error) if isinstance(error, UnavailableError) else str(error)
        return f"{name} cannot be used: {reason}"
    if not isinstance(error, ProblemError):
        return f"{name}: {error}"
    if 200 <= error.problem.status < 300:
        return f"{name} is not a plate-detect service"
    said = _said(error)
    if 300 <= error.problem.status < 400:
        said += ": it redirects; use the address that it redirects to as --url"
    return f"{name} responds with {said}"


def _said(error: ProblemError) -> str:
    problem = error.problem
    return _one_line(f"{problem.status} {problem.detail or problem.title}")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_DETAIL]
