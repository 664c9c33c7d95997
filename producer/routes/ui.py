"""The page at `/`, where people send photos and compare the results."""

import html

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


def ui_routes(settings: ProducerSettings) -> list[web.RouteDef]:
    """Return the route of the page; none if it is switched off."""
    if not settings.ui_enabled:
        return []
    text = (ASSETS / "ui" / "index.html").read_text(encoding="utf-8")
    return [web.get("/", html_page(_with_limits(text, settings).encode(), _POLICY))]


def _with_limits(text: str, settings: ProducerSettings) -> str:
    """Write what the page must know of the settings into attributes of its root element."""
    values = {
        "max-files": settings.max_files,
        "max-file-bytes": settings.max_file_size_bytes,
        "max-request-bytes": settings.max_request_bytes,
        "ttl-hours": f"{settings.task_storage_ttl_hours:g}",
        "needs-key": "yes" if settings.api_keys else "no",
    }
    attributes = "".join(f' data-{name}="{html.escape(str(v))}"' for name, v in values.items())
    return text.replace('<html lang="en"', f'<html lang="en"{attributes}', 1)
