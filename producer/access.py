"""Who may call: clients with one of the API_KEYS, and browsers' pages of ALLOWED_ORIGINS (CORS)."""

import hashlib
import hmac
from collections.abc import Collection, Sequence

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from producer.errors import UnauthorizedError

API_KEY_HEADER = "X-API-Key"

OPEN_PATHS = frozenset(
    {
        "/", "/review", "/docs", "/docs/stream", "/redoc", "/openapi.json", "/asyncapi.json",
        "/assets/{name}", "/health", "/ready", "/metrics",
    }
)  # fmt: skip
"""Routes that need no key: none of them shows a task. Every other route needs one."""

CALLER = web.RequestKey("caller", str)
"""SHA-256 (hex) of the API key of a request; empty if the service asks for none."""

_METHODS = "GET, HEAD, POST, DELETE"
_REQUEST_HEADERS = (
    "Authorization, Baggage, Cache-Control, Content-Type, Idempotency-Key, If-Match, "
    "If-Modified-Since, If-None-Match, If-Unmodified-Since, Last-Event-ID, Range, Traceparent, "
    "Tracestate, X-API-Key, X-Requested-With"
)
_RESPONSE_HEADERS = "Allow, ETag, Location, Retry-After, WWW-Authenticate"
_PREFLIGHT_SECONDS = "7200"  # browsers keep a response no longer


def require_api_key(key_digests: Sequence[bytes]) -> Middleware:
    """Return middleware that asks for a key with one of these SHA-256; none: open to all."""

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[CALLER] = ""
        resource = request.match_info.route.resource
        if key_digests and resource is not None and resource.canonical not in OPEN_PATHS:
            request[CALLER] = _matching(_sent_key(request), key_digests).hex()
        return await handler(request)

    return authenticated


def _sent_key(request: web.Request) -> str:
    key = request.headers.get(API_KEY_HEADER)
    if key is not None:
        return key
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _matching(key: str, key_digests: Sequence[bytes]) -> bytes:
    digest = hashlib.sha256(key.encode(errors="surrogateescape")).digest()
    # All are compared, so that the duration does not depend on the key.
    matches = [hmac.compare_digest(known, digest) for known in key_digests]
    if not any(matches):
        raise UnauthorizedError
    return digest


class CrossOrigin:
    """Responds to preflight requests, and marks every response as readable for these origins.

    Cookies are never allowed: a page sets its API key itself, as a header. No library is used:
    aiohttp-middlewares adds its headers after the handler has returned, too late for a progress
    stream, and aiohttp-cors not to every error.

    Args:
        origins: as browsers write them in `Origin`; `*` for any.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    @web.middleware
    async def preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Respond to a browser's preflight request, which carries no API key."""
        is_preflight = (
            request.method == hdrs.METH_OPTIONS
            and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        )
        if not is_preflight or not self._allowed(request):
            return await handler(request)
        return web.Response(
            status=204,
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _REQUEST_HEADERS,
                hdrs.ACCESS_CONTROL_MAX_AGE: _PREFLIGHT_SECONDS,
            },
        )

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers to a response that is about to be sent, also to errors and streams."""
        if not self._origins:
            return
        if "*" not in self._origins:
            # For caches, so also on responses to other origins.
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        allowed = self._allowed(request)
        if allowed:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = allowed
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _RESPONSE_HEADERS

    def _allowed(self, request: web.Request) -> str:
        """Return the header's value that allows the request's origin; empty if it is not."""
        if "*" in self._origins:
            return "*"
        origin = request.headers.get(hdrs.ORIGIN, "")
        return origin if origin in self._origins else ""
