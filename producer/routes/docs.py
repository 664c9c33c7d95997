"""Pages of documentation, and their documents: nothing comes from another host."""

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from producer.docs import openapi_document
from producer.routes.assets import ASSETS, html_page
from producer.routes.public_url import public_base
from producer.settings import ProducerSettings
from schemas.asyncapi import ASYNCAPI_FILE

# The interfaces put style elements into the page; ReDoc searches in a worker made from a blob.
_POLICY = {
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "worker-src": "'self' blob:",
    "form-action": "'self'",
}


def docs_routes(settings: ProducerSettings) -> list[web.RouteDef]:
    """Return the documentation's routes."""
    return [
        web.get("/openapi.json", _openapi(settings)),
        web.get("/docs", _page("docs.html")),
        web.get("/redoc", _page("redoc.html")),
        web.get("/asyncapi.json", _asyncapi),
        # The parser of this viewer compiles the schemas that it validates with.
        web.get("/docs/stream", _page("stream.html", scripts=" 'unsafe-eval'")),
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


def _page(name: str, scripts: str = "") -> Handler:
    """Return a page; ``scripts``: what its policy allows scripts beyond coming from here."""
    policy = _POLICY | {"script-src": f"'self'{scripts}"}
    return html_page((ASSETS / name).read_bytes(), policy)
