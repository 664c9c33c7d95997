"""The pages for people: `/` to send photos and compare the results, `/review` to review results."""

import hashlib
import html
import re
from base64 import b64encode

from aiohttp import web

from producer.routes.assets import ASSETS, html_page
from producer.settings import ProducerSettings

# Nothing from another host, and nothing inline but the script that adds a missing slash to the
# address: below a proxy's path prefix, all links of `/` need it, and only the browser knows whether
# it is there. Pictures are also made in the page (blob:).
_POLICY = {
    "script-src": "'self'",
    "worker-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "connect-src": "'self'",
    "form-action": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "plate-detect",
}
_PAGES = {"/": "index.html", "/review": "review.html"}
_UI = ASSETS / "ui"
_PART = re.compile(r"<!-- part: ([a-z]+) -->")
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def ui_routes(settings: ProducerSettings) -> list[web.RouteDef]:
    """Return the routes of the pages; none if they are switched off."""
    if not settings.ui_enabled:
        return []
    pages = {path: _page(name, settings) for path, name in _PAGES.items()}
    return [web.get(path, html_page(page.encode(), _policy(page))) for path, page in pages.items()]


def _policy(page: str) -> dict[str, str]:
    """Return the policy of a page, which allows its inline scripts by their content."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(page))
    hashes = [f"'sha256-{b64encode(digest).decode()}'" for digest in digests]
    return {**_POLICY, "script-src": " ".join([_POLICY["script-src"], *hashes])}


def _page(name: str, settings: ProducerSettings) -> str:
    """Return a page with the parts that the pages share."""
    text = (_UI / name).read_text(encoding="utf-8")
    text = _PART.sub(lambda found: _part(found[1]), text)
    return _with_limits(text, settings)


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
