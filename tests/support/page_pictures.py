"""Pictures of the pages for the documentation: drawn photos, the real service, a real browser.

`python -m tests.support.page_pictures` writes docs/images.
"""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.support.browser import chromium, visiting
from tests.support.documents import DOCS
from tests.support.pictures import scene_file
from tests.support.redis_server import RedisServer, server_binaries
from tests.support.service import Service, running

IMAGES = DOCS / "images"
LANGUAGES = {"en": "en-US", "ru": "ru-RU"}
SEEDS = (4, 1, 0, 2)
WIDTH = 1600
VIEWPORT = {"width": 1440, "height": 930}
QUALITY = 80
REVIEW_PATIENCE_MS = 60_000


def main() -> None:
    """Write a picture of `/` for each language, and one of `/review`."""
    IMAGES.mkdir(exist_ok=True)
    # First the browser: as long as it runs, no event loop of Python's own can start in this thread.
    with chromium() as browser:
        with _service(REVIEW_CONFIDENCE="0.35") as service:
            for language, locale in LANGUAGES.items():
                with _page(browser, service, locale) as page:
                    _compare(page)
                    _write(page, f"page.{language}")
        with _service(REVIEW_CONFIDENCE="1") as service:
            task_id = service.submit(*((file["name"], file["buffer"]) for file in _photos()))
            service.wait_final(task_id)
            with _page(browser, service, LANGUAGES["en"]) as page:
                _review(page)
                _write(page, "review")


def _photos() -> list[FilePayload]:
    return [
        {"name": f"street-{number}.jpg", "mimeType": "image/jpeg", "buffer": _file(seed)}
        for number, seed in enumerate(SEEDS, start=1)
    ]


def _file(seed: int) -> bytes:
    return scene_file(seed, width=WIDTH)


@contextmanager
def _service(**settings: str) -> Iterator[Service]:
    """Run the service with the shipped model on a Redis server of its own."""
    with tempfile.TemporaryDirectory() as name:
        redis = RedisServer(server_binaries()["valkey"], Path(name))
        redis.start()
        try:
            with running(redis.url, Path(name), "worker", "producer", **settings) as service:
                yield service
        finally:
            redis.stop()


@contextmanager
def _page(browser: Browser, service: Service, locale: str) -> Iterator[Page]:
    options = {"viewport": VIEWPORT, "color_scheme": "light", "reduced_motion": "reduce"}
    with visiting(browser, service.url, locale=locale, **options) as visit:
        yield visit.page


def _compare(page: Page) -> None:
    """Cover the photos, and move the divider to the middle of the first one's cover."""
    page.locator("#choose-files").set_input_files(_photos())
    expect(page.locator("#summary progress")).to_be_hidden(timeout=REVIEW_PATIENCE_MS)
    expect(page.locator(".frame.has-before.has-after")).to_be_visible()
    expect(page.locator("canvas.drawn")).to_have_count(len(SEEDS))
    page.locator(".slider").evaluate(
        """slider => {
          const box = slider.getBoundingClientRect();
          const cover = document.querySelector(".overlay polygon").getBoundingClientRect();
          slider.value = 100 * (cover.x + cover.width / 2 - box.x) / box.width;
          slider.dispatchEvent(new Event("input"));
        }"""
    )


def _review(page: Page) -> None:
    """Draw a cover onto the first result of the queue."""
    page.goto(page.url + "review")
    expect(page.locator('[data-command="accept"]')).to_be_enabled()
    page.locator('[data-command="cover"]').click()
    page.keyboard.press("Enter")
    expect(page.locator(".handle")).to_have_count(4)
    page.mouse.move(0, 0)


def _write(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").save(IMAGES / f"{name}.webp", quality=QUALITY, method=6)


if __name__ == "__main__":
    main()
