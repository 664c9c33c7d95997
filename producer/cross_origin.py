"""Which pages of other origins may use this service from a browser (CORS): ALLOWED_ORIGINS.

Not a library's: those that there are add their headers when a handler has returned, which is too
late for a progress stream, or only on the routes that they were given, so not to every error.
"""

from collections.abc import Collection

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

_METHODS = "GET, HEAD, POST, DELETE"
_REQUEST_HEADERS = (
    "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, "
    "If-None-Match, If-Unmodified-Since, Last-Event-ID, Range, traceparent, tracestate, X-API-Key, "
    "X-Requested-With"
)
_RESPONSE_HEADERS = "Allow, ETag, Location, Retry-After, WWW-Authenticate"
_PREFLIGHT_SECONDS = "7200"  # browsers keep an answer no longer


class CrossOrigin:
    """Answers preflight requests, and marks every answer as readable for these origins.

    Credentials are never allowed: a key is a header, which the page itself must know and set.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    @web.middleware
    async def preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer what a browser asks before it sends the request itself; it sends no key."""
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
        """Before any answer is sent, errors and streams too: say who may read it."""
        if not self._origins:
            return
        if "*" not in self._origins:
            # For caches, also where the answer is for nobody else to read.
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        allowed = self._allowed(request)
        if allowed:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = allowed
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _RESPONSE_HEADERS

    def _allowed(self, request: web.Request) -> str:
        """The value that admits the request's origin; empty if it is not admitted."""
        if "*" in self._origins:
            return "*"
        origin = request.headers.get(hdrs.ORIGIN, "")
        return origin if origin in self._origins else ""
