"""Pages of documentation, their documents and assets: nothing comes from another host."""

from pathlib import Path

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from producer.docs import openapi_document
from producer.routes.public_url import public_base
from producer.settings import ProducerSettings
from schemas.asyncapi import ASYNCAPI_FILE

_ASSETS = Path(__file__).parents[1] / "assets"
# Listed once: a client's path never reaches the file system, which has errors of its own for what
# is too long.
_ASSET_FILES = {
    path.relative_to(_ASSETS).as_posix(): path for path in _ASSETS.rglob("*") if path.is_file()
}

# The interfaces put style elements into the page; ReDoc searches in a worker made from a blob.
_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def docs_routes(settings: ProducerSettings) -> list[web.RouteDef]:
    """Return the documentation's routes."""
    return [
        web.get("/openapi.json", _openapi(settings)),
        web.get("/docs", _page("docs.html")),
        web.get("/redoc", _page("redoc.html")),
        web.get("/asyncapi.json", _asyncapi),
        # The parser of this viewer compiles the schemas that it validates with.
        web.get("/docs/stream", _page("stream.html", scripts=" 'unsafe-eval'")),
        web.get("/", _to_docs),
        web.get("/assets/{name:.+}", _asset),
    ]


def _openapi(settings: ProducerSettings) -> Handler:
    document = openapi_document(settings)

    async def openapi(request: web.Request) -> web.Response:
        # The dot means the document's own folder, whatever prefix a proxy puts before it.
        server = {"url": public_base(request) or "."}
        body = orjson.dumps(document | {"servers": [server]})
        return web.Response(body=body, content_type="application/json")

    return openapi


async def _asyncapi(_: web.Request) -> web.FileResponse:
    return web.FileResponse(ASYNCAPI_FILE)


async def _to_docs(request: web.Request) -> web.Response:
    base = public_base(request)
    # Else relative: a proxy may serve it under a prefix. If the client asked for the prefix without
    # a slash at its end, that leads to the wrong place.
    raise web.HTTPFound(f"{base}/docs" if base else "docs")


async def _asset(request: web.Request) -> web.FileResponse:
    path = _ASSET_FILES.get(request.match_info["name"])
    if path is None:
        raise web.HTTPNotFound
    return web.FileResponse(path)


def _page(name: str, scripts: str = "") -> Handler:
    """Return a page; ``scripts``: what its policy allows scripts beyond coming from here."""
    body = (_ASSETS / name).read_bytes()
    headers = {
        "Content-Security-Policy": _POLICY.format(scripts=scripts),
        "Referrer-Policy": "no-referrer",
    }

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)

    return page
