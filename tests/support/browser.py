"""Chromium for tests of the page, and what it has asked for and complained about."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.support.programs import find_program, skip_without

_TIMEOUT_MS = 30_000


def chromium_path() -> str:
    """Return the path of Chromium; without it skip the test, or fail it in .ci/run."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(find_program, names)), None)
    return found or skip_without("Chromium is not installed")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser without a window."""
    path = chromium_path()
    with sync_playwright() as playwright:
        # A test may run as root, which Chromium's sandbox does not allow.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visit:
    """One page in a context of its own, and what it has done."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def note(self, message: ConsoleMessage) -> None:
        """Keep what the browser's console says is wrong."""
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def allow(self, text: str) -> None:
        """Drop the complaints that contain this text: the test has caused them."""
        assert any(text in complaint for complaint in self.complaints), self.complaints
        self.complaints = [one for one in self.complaints if text not in one]

    def other_hosts(self) -> set[str]:
        """Return what was asked for elsewhere than at the service."""
        schemes = ("blob:", "data:")
        asked = {url for url in self.requests if not url.startswith(schemes)}
        return {url for url in asked if urlsplit(url).netloc != urlsplit(self.base).netloc}


@contextmanager
def visiting(browser: Browser, base: str, **options: Any) -> Iterator[Visit]:
    """Open the page of a service; at the end it must have no complaint and no foreign request."""
    context = browser.new_context(**{"locale": "en-US", **options})
    context.set_default_timeout(_TIMEOUT_MS)
    try:
        visit = _opened(context, base)
        yield visit
        assert visit.complaints == [], visit.complaints
        assert visit.other_hosts() == set(), visit.other_hosts()
    finally:
        context.close()


def _opened(context: BrowserContext, base: str) -> Visit:
    visit = Visit(context.new_page(), base)
    page = visit.page
    page.on("request", lambda request: visit.requests.append(request.url))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("console", visit.note)
    page.goto(f"{base}/")
    return visit
