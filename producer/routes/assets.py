"""Files of the pages: scripts, styles and pictures, below `/assets`."""

from collections.abc import Mapping
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

ASSETS = Path(__file__).parents[1] / "assets"

# Listed once: a client's path never reaches the file system, which has errors of its own for what
# is too long.
_FILES = {path.relative_to(ASSETS).as_posix(): path for path in ASSETS.rglob("*") if path.is_file()}
_UI = "ui/"

# A browser keeps a file and asks each time whether it has changed (304 by ETag): the modules of a
# page must be of one version.
_CACHE = {hdrs.CACHE_CONTROL: "no-cache"}


def asset_routes(*, with_ui: bool) -> list[web.RouteDef]:
    """Return the route of the files; without those of the page at `/` if it is switched off."""
    files = {name: path for name, path in _FILES.items() if with_ui or not name.startswith(_UI)}

    async def asset(request: web.Request) -> web.FileResponse:
        path = files.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers=_CACHE)

    return [web.get("/assets/{name:.+}", asset)]


def html_page(body: bytes, policy: Mapping[str, str]) -> Handler:
    """Return a handler that responds with a page.

    Args:
        policy: the sources that it may use (Content-Security-Policy), by directive; of all other
            kinds it may use none.
    """
    sources = "; ".join(f"{directive} {value}".strip() for directive, value in policy.items())
    headers = {
        "Content-Security-Policy": f"default-src 'none'; {sources}; base-uri 'none'; "
        "frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        hdrs.CACHE_CONTROL: "no-cache",
    }

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)

    return page
