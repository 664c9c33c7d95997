"""The pages for people: `/` to send photos and compare the results, `/review` to review results."""

import html
import re

from aiohttp import web

from producer.routes.assets import ASSETS, html_page
from producer.settings import ProducerSettings

# Nothing inline, nothing from another host. Pictures are also made in the page (blob:).
_POLICY = {
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "connect-src": "'self'",
    "form-action": "'none'",
    "require-trusted-types-for": "'script'",
}
_PAGES = {"/": "index.html", "/review": "review.html"}
_UI = ASSETS / "ui"
_PART = re.compile(r"<!-- part: ([a-z]+) -->")


def ui_routes(settings: ProducerSettings) -> list[web.RouteDef]:
    """Return the routes of the pages; none if they are switched off."""
    if not settings.ui_enabled:
        return []
    return [
        web.get(path, html_page(_page(name, settings), _POLICY)) for path, name in _PAGES.items()
    ]


def _page(name: str, settings: ProducerSettings) -> bytes:
    """Return a page with the parts that the pages share."""
    text = (_UI / name).read_text(encoding="utf-8")
    text = _PART.sub(lambda found: _part(found[1]), text)
    return _with_limits(text, settings).encode()


def _part(name: str) -> str:
    return (_UI / "parts" / f"{name}.html").read_text(encoding="utf-8").rstrip()


def _with_limits(text: str, settings: ProducerSettings) -> str:
    """Write what a page must know of the settings into attributes of its root element."""
    values = {
        "max-files": settings.max_files,
        "max-file-bytes": settings.max_file_size_bytes,
        "max-request-bytes": settings.max_request_bytes,
        "ttl-hours": f"{settings.task_storage_ttl_hours:g}",
        "needs-key": "yes" if settings.api_keys else "no",
    }
    attributes = "".join(f' data-{name}="{html.escape(str(v))}"' for name, v in values.items())
    return text.replace('<html lang="en"', f'<html lang="en"{attributes}', 1)
