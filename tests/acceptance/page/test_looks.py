"""How the page looks: nothing is cut off, all of it is readable; writes pictures to build/page."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.page.actions import (
    choose,
    open_review,
    photo,
    submit_for_review,
    wait_compared,
    wait_done,
)  # fmt: skip
from tests.acceptance.page.axe import faults
from tests.acceptance.page.conftest import Visiting
from tests.support.pictures import scene_file
from tests.support.service import ROOT, Service

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

PICTURES = ROOT / "build" / "page"
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1440, 900)}


@pytest.mark.parametrize("device", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "ru-RU"])
def test_nothing_is_cut_off_or_unreadable(
    service: Service, visit: Visiting, locale: str, scheme: str, device: str
) -> None:
    pictures = PICTURES / f"{device}-{scheme}-{locale[:2]}"
    with visit(service.url, **_options(locale, scheme, device)) as visited:
        page = visited.page
        _check(page, pictures, "empty")
        page.locator("#example").click()
        wait_compared(page)
        files = [photo(f"IMG_20260714_18324{number}.jpg", scene_file(number)) for number in (1, 0)]
        choose(page, *files, photo("holiday-in-the-mountains-2026.jpg", scene_file(2)[:9000]))
        wait_done(page)
        page.locator(".photo").last.scroll_into_view_if_needed()  # pictures are made when in sight
        expect(page.locator("canvas.drawn")).to_have_count(3)
        _check(page, pictures, "photos")


@pytest.mark.parametrize("device", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "ru-RU"])
def test_nothing_of_the_review_is_cut_off_or_unreadable(
    service: Service, visit: Visiting, locale: str, scheme: str, device: str
) -> None:
    submit_for_review(service, 0)
    pictures = PICTURES / f"{device}-{scheme}-{locale[:2]}"
    with visit(service.url, **_options(locale, scheme, device)) as visited:
        page = visited.page
        open_review(page, service)
        _check(page, pictures, "review")
        page.locator('[data-command="cover"]').click()
        _check(page, pictures, "review-drawing")
        page.keyboard.press("Enter")
        expect(page.locator(".handle")).to_have_count(4)
        _check(page, pictures, "review-drawn")
        page.keyboard.press("u")
        page.locator('[data-command="accept"]').click()
        expect(page.locator("#empty")).to_be_visible()
        _check(page, pictures, "review-empty")


def _options(locale: str, scheme: str, device: str) -> dict[str, Any]:
    """Return the options of a browser's context."""
    width, height = SIZES[device]
    is_touch = device != "desktop"
    return {
        "locale": locale, "color_scheme": scheme, "reduced_motion": "reduce",
        "viewport": {"width": width, "height": height}, "has_touch": is_touch,
        "is_mobile": is_touch,
    }  # fmt: skip


def _check(page: Page, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    for part in page.locator("html, .stage, .side").all():
        assert part.evaluate("part => part.scrollWidth <= part.clientWidth"), "it is cut off"
    assert faults(page) == []
