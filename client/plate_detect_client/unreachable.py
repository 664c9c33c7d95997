"""Why a connection failed: the reason in words, and whether it passes."""

import ssl
from collections.abc import Iterator

import httpx

from plate_detect_client.errors import UnreachableError

_LASTING = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, ssl.SSLCertVerificationError)


def unreachable(error: httpx.TransportError) -> UnreachableError:
    """Return the exception for a connection that failed, with the reason in its text."""
    causes = list(_causes(error))
    # A mistake in the address, the headers or the certificates.
    is_lasting = any(isinstance(cause, _LASTING) for cause in causes)
    failure = UnreachableError(f"no response: {_reason(causes)}", is_passing=not is_lasting)
    failure.__cause__ = error
    return failure


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what has caused it, the nearest first."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):  # one for each address of a name
            error = error.exceptions[0]
        else:
            error = error.__cause__ or error.__context__


def _reason(causes: list[BaseException]) -> str:
    for cause in reversed(causes):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {getattr(cause, 'verify_message', cause)}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {getattr(cause, 'reason', None) or cause}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return f"{type(causes[0]).__name__}: {causes[0]}".removesuffix(": ")
