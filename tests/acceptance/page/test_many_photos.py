"""Hundreds of photos added at once: the page stays responsive, and its memory bounded.

No worker runs: the photos wait in the queue, and the page shows the browser's own files.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, CDPSession, Page, expect

from tests.acceptance.page.actions import choose, photo
from tests.acceptance.page.conftest import Visiting
from tests.support.pictures import scene
from tests.support.redis_server import RedisServer
from tests.support.service import Service, running

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(400)]

PHOTOS = 200
DIFFERENT = 4
SIZE = (4000, 3000)
DECODED_BYTES = SIZE[0] * SIZE[1] * 4
# The browser itself keeps some decoded pictures of those that were shown last.
MOST_BYTES = 25 * DECODED_BYTES
MOST_NODES_PER_PHOTO = 40
MOST_HEAP_BYTES = 15_000_000
# Several times what a quiet machine needs, because a busy one takes longer.
LONGEST_TASK_MS = 1000
PATIENCE_MS = 60_000

_OBSERVE = """() => {
  globalThis.longTasks = [];
  const note = (list) => longTasks.push(...list.getEntries().map(({ duration }) => duration));
  new PerformanceObserver(note).observe({ type: "longtask" });
}"""

# None of them is a picture, so nothing is sent. Returns how many rows the same task has added.
_CHOOSE = """(count) => {
  const transfer = new DataTransfer();
  for (let n = 0; n < count; n += 1) transfer.items.add(new File(["x"], `${n}.jpg`));
  const input = document.getElementById("choose-files");
  input.files = transfer.files;
  input.dispatchEvent(new Event("change"));
  return document.querySelectorAll(".photo").length;
}"""
_CHOOSE_AND_STOP = f"""(count) => {{
  ({_CHOOSE})(count);
  document.querySelector(".summary .link").click();
  document.getElementById("confirm-yes").click();
}}"""


@pytest.fixture(scope="module")
def queue(
    running_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("many")
    with running(running_redis.url, folder, "producer", KEY_PREFIX="{many}") as service:
        yield service


@pytest.fixture
def files(photos: Path) -> list[Path]:
    """Photos under names of their own; some have the same content."""
    found = []
    for number in range(PHOTOS):
        path = photos / f"IMG_{number:04}.jpg"
        if number < DIFFERENT:
            drawn = Image.fromarray(scene(number).rgb)
            drawn.resize(SIZE, Image.Resampling.BILINEAR).save(path, quality=85)
        else:
            os.link(found[number % DIFFERENT], path)
        found.append(path)
    return found


@dataclass
class Measured:
    """What the browser needs."""

    browser: CDPSession
    tab: CDPSession
    page: Page
    longest_ms: float = 0

    def memory(self) -> int:
        """Return the bytes of all processes of the browser."""
        processes = self.browser.send("SystemInfo.getProcessInfo")["processInfo"]
        return sum(int(psutil.Process(one["id"]).memory_info().rss) for one in processes)

    def counters(self) -> dict[str, Any]:
        """Return the counters of the tab, without garbage."""
        self.tab.send("HeapProfiler.collectGarbage")
        metrics = self.tab.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in metrics}

    def report(self, what: str) -> None:
        """Print the longest task of the page until now."""
        tasks = self.page.evaluate("() => longTasks.splice(0)")
        longest = max(tasks, default=0)
        print(f"{what}: {len(tasks)} long tasks, the longest {longest:.0f} ms")
        self.longest_ms = max(self.longest_ms, longest)


def test_200_photos_at_once(
    queue: Service, browser: Browser, visit: Visiting, files: list[Path]
) -> None:
    with visit(queue.url, viewport={"width": 1440, "height": 900}) as visited:
        page = visited.page
        tab = page.context.new_cdp_session(page)
        tab.send("Performance.enable")
        measured = Measured(browser.new_browser_cdp_session(), tab, page)
        before = measured.memory()
        page.evaluate(_OBSERVE)
        _drop(page, tab, files)
        expect(page.locator(".photo")).to_have_count(PHOTOS)
        measured.report("listed")
        unsent = page.locator(".photo:is([data-state=waiting], [data-state=sending])")
        expect(unsent).to_have_count(0, timeout=2 * PATIENCE_MS)
        expect(page.locator(".photo[data-state=failed]")).to_have_count(0)
        uploads = [url for url in visited.requests if url.endswith("/process-task/")]
        assert PHOTOS / 50 <= len(uploads) <= PHOTOS / 10
        measured.report("uploaded")
        memory = [measured.memory(), *_seen_from_top_to_bottom(page, measured)]
        measured.report("seen")
        counters, growth = measured.counters(), max(memory) - before
        heap, nodes = counters["JSHeapUsedSize"], counters["Nodes"]
        print(f"heap {heap / 1e6:.1f} MB, {nodes} nodes, processes +{growth / 1e6:.0f} MB")
        assert measured.longest_ms < LONGEST_TASK_MS
        assert heap < MOST_HEAP_BYTES
        assert nodes < PHOTOS * MOST_NODES_PER_PHOTO
        assert growth < MOST_BYTES, memory
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop").click()
        expect(page.locator(".photo")).to_have_count(0)


def test_rows_come_a_few_at_a_time_in_their_order(queue: Service, visit: Visiting) -> None:
    with visit(queue.url) as visited:
        page = visited.page
        names = page.locator(".photo-name")
        assert 1 <= page.evaluate(_CHOOSE, PHOTOS) <= PHOTOS / 4
        page.locator(".photo-open").nth(1).press("Enter")
        page.evaluate(_CHOOSE, PHOTOS)
        numbered = [f"{number}.jpg" for number in range(PHOTOS)]
        expect(names).to_have_text(numbered * 2)
        expect(page.locator(".photo-open").nth(1)).to_be_focused()
        expect(page.locator("[aria-current]")).to_have_count(1)


def test_no_row_comes_after_a_stop(queue: Service, visit: Visiting) -> None:
    with visit(queue.url) as visited:
        page = visited.page
        page.evaluate(_CHOOSE_AND_STOP, 5 * PHOTOS)
        expect(page.locator("#work")).to_be_hidden()
        choose(page, photo("last.jpg", b"x"))
        expect(page.locator(".photo-name")).to_have_text(["last.jpg"])


def _drop(page: Page, tab: CDPSession, files: list[Path]) -> None:
    """Drop files of the disk, as a file manager does."""
    box = page.locator("#drop").bounding_box()
    assert box is not None
    dragged = {"items": [], "files": list(map(str, files)), "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": box["x"] + 40, "y": box["y"] + 40, "data": dragged}
        tab.send("Input.dispatchDragEvent", event)


def _seen_from_top_to_bottom(page: Page, measured: Measured) -> Iterator[int]:
    """Open a photo of each part of the list; give the memory then."""
    for number in range(0, PHOTOS, 20):
        page.locator(".photo-open").nth(number).click()
        expect(page.locator(".frame.has-before")).to_be_visible(timeout=PATIENCE_MS)
        small = page.locator(".photo").nth(number).locator("canvas.drawn")
        expect(small).to_be_visible(timeout=PATIENCE_MS)
        yield measured.memory()
