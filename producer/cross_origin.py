"""Cross-origin requests from browsers (CORS): which origins' pages may call (ALLOWED_ORIGINS).

Without a library: aiohttp-middlewares adds its headers after the handler has returned, too late for
a progress stream; aiohttp-cors adds them only on routes that exist, so not to every error.
"""

from collections.abc import Collection

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

_METHODS = "GET, HEAD, POST, DELETE"
_REQUEST_HEADERS = (
    "Authorization, Baggage, Cache-Control, Content-Type, Idempotency-Key, If-Match, "
    "If-Modified-Since, If-None-Match, If-Unmodified-Since, Last-Event-ID, Range, Traceparent, "
    "Tracestate, X-API-Key, X-Requested-With"
)
_RESPONSE_HEADERS = "Allow, ETag, Location, Retry-After, WWW-Authenticate"
_PREFLIGHT_SECONDS = "7200"  # browsers keep an answer no longer


class CrossOrigin:
    """Answers preflight requests, and marks every answer as readable for these origins.

    Cookies are never allowed: the page itself sets its API key, as a header.

    Args:
        origins: as browsers write them in `Origin`; `*` for any.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    @web.middleware
    async def preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a browser's preflight request, which carries no API key."""
        asks = hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if request.method != hdrs.METH_OPTIONS or not asks or not self._allowed(request):
            return await handler(request)
        return web.Response(
            status=204,
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _REQUEST_HEADERS,
                hdrs.ACCESS_CONTROL_MAX_AGE: _PREFLIGHT_SECONDS,
            },
        )

    async def admit(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers to an answer that is about to be sent: errors and streams, too."""
        if not self._origins:
            return
        if "*" not in self._origins:
            # For caches, so also on answers to other origins.
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        allowed = self._allowed(request)
        if allowed:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = allowed
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _RESPONSE_HEADERS

    def _allowed(self, request: web.Request) -> str:
        """Return the header's value that admits the request's origin; empty if none does."""
        if "*" in self._origins:
            return "*"
        origin = request.headers.get(hdrs.ORIGIN, "")
        return origin if origin in self._origins else ""
