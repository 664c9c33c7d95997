"""Who may ask: the API keys of API_KEYS, known here only by their SHA-256."""

import hashlib
import hmac
from collections.abc import Sequence

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from producer.errors import UnauthorizedError

API_KEY_HEADER = "X-API-Key"

OPEN_PATHS = frozenset(
    {"/", "/docs", "/redoc", "/openapi.json", "/assets/{name}", "/health", "/ready", "/metrics"}
)
"""What needs no key: nothing there tells of a task. Everything else does, also what comes later."""

CALLER = web.RequestKey("caller", str)
"""Digest of the key that a request was let in by, in hex; empty where none is asked for."""


def guard(key_digests: Sequence[bytes]) -> Middleware:
    """Middleware that asks for one of these keys; without any it lets everybody in."""

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[CALLER] = ""
        if key_digests and _needs_key(request):
            request[CALLER] = _recognized(_presented(request), key_digests).hex()
        return await handler(request)

    return authenticated


def _needs_key(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical not in OPEN_PATHS


def _presented(request: web.Request) -> str:
    key = request.headers.get(API_KEY_HEADER)
    if key is not None:
        return key
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _recognized(key: str, key_digests: Sequence[bytes]) -> bytes:
    digest = hashlib.sha256(key.encode(errors="surrogateescape")).digest()
    found = b""
    for known in key_digests:  # to the end, so that the time tells nothing
        if hmac.compare_digest(known, digest):
            found = known
    if not found:
        raise UnauthorizedError
    return found
