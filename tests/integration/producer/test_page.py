"""The pages as a browser gets them: content, headers, caching, and switched off."""

import re
from base64 import b64encode
from hashlib import sha256
from urllib.parse import urljoin

import pytest

from producer.settings import ProducerSettings
from tests.integration.producer.conftest import RunningProducer, StartProducer

_IMPORT = re.compile(
    r'^import .*?from "([^"]+)";$|^import "([^"]+)";$|new URL\("([^"]+)", import.meta.url\)',
    re.MULTILINE,
)
_INLINE = 'if (!location.pathname.endsWith("/")) location.pathname += "/";'
PAGES = ["/", "/review"]
_LINK = re.compile(r'(?:src|href)="([^"#]+)"')


async def text_of(producer: RunningProducer, url: str) -> tuple[str, str]:
    """Return the type and the text of what is at an address."""
    async with producer.session.get(url) as response:
        assert response.status == 200, url
        return response.content_type, await response.text()


@pytest.mark.parametrize("path", PAGES)
async def test_everything_that_a_page_needs_is_there(producer: RunningProducer, path: str) -> None:
    content_type, page = await text_of(producer, producer.url + path)
    assert content_type == "text/html"
    links = [link for link in _LINK.findall(page) if link.startswith("assets/")]
    types = {".js": "javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    seen: set[str] = set()
    to_see = [urljoin(producer.url, link) for link in links]
    while to_see:
        url = to_see.pop()
        if url in seen:
            continue
        seen.add(url)
        content_type, text = await text_of(producer, url)
        assert types[url[url.rindex(".") :]] in content_type, url
        if url.endswith(".js"):
            to_see += [urljoin(url, "".join(names)) for names in _IMPORT.findall(text)]
    assert len(seen) > 20
    for script in ("client-zip/index", "js/shrinking"):
        assert any(script in url for url in seen) == (path == "/")
    assert "<!-- part" not in page


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_comes_from_another_host_and_one_script_is_inline(
    producer: RunningProducer, path: str
) -> None:
    async with producer.session.get(producer.url + path) as response:
        page = await response.text()
        policy = dict(
            directive.strip().partition(" ")[::2]
            for directive in response.headers["Content-Security-Policy"].split(";")
        )
    inline = re.findall(r"<script(?![^>]* src=)[^>]*>(.*?)</script>", page)
    assert inline == ([_INLINE] if path == "/" else [])
    digests = (sha256(script.encode()).digest() for script in inline)
    hashes = "".join(f" 'sha256-{b64encode(digest).decode()}'" for digest in digests)
    assert policy == {
        "default-src": "'none'", "script-src": f"'self'{hashes}", "style-src": "'self'",
        "worker-src": "'self'", "trusted-types": "plate-detect",
        "img-src": "'self' blob:", "connect-src": "'self'", "form-action": "'none'",
        "require-trusted-types-for": "'script'", "base-uri": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert not re.findall(r"<style| style=| on[a-z]+=", page)
    assert "://" not in page


async def test_the_page_knows_the_limits(start_producer: StartProducer, redis_server: str) -> None:
    limits = {"max_files_per_request": 7, "max_file_size_bytes": 999, "max_request_size_mb": 1}
    producer = await start_producer(redis_server, **limits, api_keys="a-key-of-the-tests-1")
    _, page = await text_of(producer, producer.url + "/")
    root = page[: page.index("<head>")]
    values = dict(re.findall(r' data-([a-z-]+)="([^"]*)"', root))
    assert values == {
        "max-files": "7", "max-file-bytes": "999", "max-request-bytes": "1048576",
        "ttl-hours": "48", "needs-key": "yes",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["ui/js/main.js", "ui/css/base.css", "docs.js"])
async def test_an_asset_is_kept_and_asked_about(producer: RunningProducer, name: str) -> None:
    url = f"{producer.url}/assets/{name}"
    async with producer.session.get(url) as response:
        assert response.headers["Cache-Control"] == "no-cache"
        tag = response.headers["ETag"]
    async with producer.session.get(url, headers={"If-None-Match": tag}) as response:
        assert response.status == 304
        assert await response.read() == b""


async def test_switched_off(start_producer: StartProducer, redis_server: str) -> None:
    producer = await start_producer(redis_server, ui_enabled=False)
    for path, status in {
        "/": 404, "/review": 404, "/assets/ui/js/main.js": 404, "/assets/docs.js": 200,
        "/docs": 200,
    }.items():  # fmt: skip
        async with producer.session.get(producer.url + path) as response:
            assert response.status == status, path
    assert ProducerSettings.model_fields["ui_enabled"].default is True
