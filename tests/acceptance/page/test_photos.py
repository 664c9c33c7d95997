"""Photos on the page: from the drop to the download."""

import base64
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.acceptance.page.actions import (
    choose,
    drop,
    enter_key,
    photo,
    row,
    wait_compared,
    wait_done,
)  # fmt: skip
from tests.acceptance.page.axe import faults
from tests.acceptance.page.conftest import KEY, Visiting
from tests.support.pictures import assert_covered, encoded, scene, scene_file
from tests.support.service import Service

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


def test_from_drop_to_download(service: Service, visit: Visiting) -> None:
    with visit(service.url) as visited:
        page = visited.page
        drop(page, photo("first.jpg", scene_file(0)), photo("second.png", scene_file(1, "PNG")))
        expect(page.locator(".photo")).to_have_count(2)
        wait_compared(page)
        wait_done(page)
        expect(page.locator("#summary-text")).to_contain_text("2 photos covered")
        _check_comparison(page)
        assert faults(page) == []

        with page.expect_download() as one:
            page.get_by_role("button", name="Download", exact=True).click()
        assert one.value.suggested_filename == "covered_second.webp"
        assert_covered(scene(1), one.value.path().read_bytes())

        with page.expect_download() as archive:
            page.get_by_role("button", name="Download all 2 (ZIP)").click()
        with zipfile.ZipFile(archive.value.path()) as files:
            assert files.namelist() == ["covered_first.webp", "covered_second.webp"]
            assert files.testzip() is None
            assert_covered(scene(0), files.read("covered_first.webp"))
        # The original stayed in the browser.
        assert not [url for url in visited.requests if "/input/" in url]


def _check_comparison(page: Page) -> None:
    before = page.locator(".clip img")
    assert (before.get_attribute("src") or "").startswith("blob:")
    assert before.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [960, 640]
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("End")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("100%"))
    assert (
        page.locator(".frame").evaluate("frame => frame.style.getPropertyValue('--at')") == "100%"
    )
    # REVIEW_CONFIDENCE=1: the service is certain of nothing.
    outlines = page.locator(".overlay polygon").count()
    assert outlines > 0
    expect(page.locator(".chip")).to_have_text([re.compile(r"^\d+%$")] * outlines)
    expect(page.locator(".stage .notice")).to_contain_text("Please check this photo")
    page.get_by_label("Outlines and scores").uncheck()
    expect(page.locator(".overlay")).to_be_hidden()
    page.get_by_role("button", name="Next photo").click()
    expect(page.locator("#stage-title")).to_have_text("second.png")


def test_keyboard_alone(service: Service, visit: Visiting) -> None:
    with visit(service.url) as visited:
        page = visited.page
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        _tab_to(page, "choose-files")
        # What opens the dialog of the operating system from here is the browser's own.
        chosen = page.locator("#choose-files:focus")
        chosen.set_input_files([photo("a.jpg", scene_file(0)), photo("b.jpg", scene_file(1))])
        wait_compared(page)
        wait_done(page)
        _tab_to_class(page, "slider")
        for _ in range(3):
            page.keyboard.press("ArrowLeft")
        expect(page.get_by_role("slider")).to_have_value("47")
        _tab_to_class(page, "photo-open")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#stage-title")).to_have_text("b.jpg")
        with page.expect_download() as saved:
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
        assert saved.value.suggested_filename == "covered_b.webp"


def _tab_to(page: Page, element: str) -> None:
    _tab_until(page, f"() => document.activeElement.id === '{element}'")


def _tab_to_class(page: Page, name: str) -> None:
    _tab_until(page, f"() => document.activeElement.classList.contains('{name}')")


def _tab_until(page: Page, reached: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate(reached):
            return
    raise AssertionError(f"not reached with Tab: {reached}")


def test_a_folder_keeps_its_shape(service: Service, visit: Visiting, photos: Path) -> None:
    for folder in ("day", "night"):
        (photos / folder).mkdir()
        (photos / folder / "car.jpg").write_bytes(scene_file(0))
    (photos / "notes.txt").write_text("no picture")
    (photos / ".hidden.jpg").write_bytes(scene_file(0))
    with visit(service.url) as visited:
        page = visited.page
        page.locator("#choose-folder").set_input_files(photos)
        expect(page.locator("#notices")).to_contain_text("2 files were left out")
        wait_done(page)
        with page.expect_download() as archive:
            page.get_by_role("button", name="Download all 2 (ZIP)").click()
        with zipfile.ZipFile(archive.value.path()) as files:
            assert sorted(files.namelist()) == [
                "photos/day/covered_car.webp", "photos/night/covered_car_2.webp",
            ]  # fmt: skip


def test_a_pasted_picture(service: Service, visit: Visiting) -> None:
    with visit(service.url) as visited:
        page = visited.page
        page.evaluate(
            """([data]) => {
              const clipboardData = new DataTransfer();
              const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
              clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
              document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
            }""",
            [base64.b64encode(scene_file(0, "PNG")).decode()],
        )
        wait_compared(page)


def test_the_example(service: Service, visit: Visiting) -> None:
    with visit(service.url) as visited:
        page = visited.page
        page.get_by_role("button", name="Try it with an example").click()
        wait_compared(page)
        expect(page.locator(".overlay polygon")).to_have_count(1)


def test_errors_in_plain_words(service: Service, visit: Visiting, photos: Path) -> None:
    heic = b"\0\0\0\x18ftypheic" + bytes(500)
    with (photos / "large.jpg").open("wb") as large:
        large.truncate(21_000_000)
    with visit(service.url) as visited:
        page = visited.page
        choose(
            page,
            photo("good.jpg"),
            photo("broken.jpg", scene_file()[:9000]),
            photo("phone.heic", heic, "image/heic"),
            photo("text.jpg", b"hello"),
        )
        page.locator("#choose-files").set_input_files(photos / "large.jpg")
        wait_done(page)
        for name, words in {
            "broken.jpg": "The file is damaged or not complete.",
            "phone.heic": "This is a HEIC photo",
            "text.jpg": "This is not a JPEG, PNG or WebP photo.",
            "large.jpg": "The file is larger than 20 MB.",
        }.items():
            expect(row(page, name)).to_contain_text(words)
        expect(page.locator("#summary-text")).to_contain_text("4 not covered")
        page.get_by_role("button", name="Not covered 4").click()
        expect(row(page, "good.jpg")).to_be_hidden()
        row(page, "broken.jpg").get_by_role("button").first.click()
        expect(page.locator(".veil-text")).to_contain_text("The file is damaged")
        assert faults(page) == []


def test_a_busy_service_is_asked_again(service: Service, visit: Visiting) -> None:
    with visit(service.url) as visited:
        page = visited.page
        keys = []

        def refuse_once(route: Route) -> None:
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) > 1:
                route.continue_()
            else:
                route.fulfill(status=503, headers={"Retry-After": "1"}, body="{}")

        page.route("**/api/v1/process-task/", refuse_once)
        choose(page, photo("a.jpg"))
        expect(row(page, "a.jpg")).to_contain_text("Next attempt in")
        wait_compared(page)
        assert len(keys) == 2
        assert len(set(keys)) == 1, "a repeated upload would make a second task"
        visited.allow("503")


def test_many_photos_are_split_into_tasks(locked: Service, visit: Visiting) -> None:
    small = encoded(np.zeros((48, 64, 3), np.uint8))
    with visit(locked.url) as visited:
        page = visited.page
        choose(page, *(photo(f"{number}.jpg", small) for number in range(120)))
        enter_key(page, KEY)
        wait_done(page)
        expect(page.locator("#summary-text")).to_contain_text("120 photos covered")
        uploads = [url for url in visited.requests if url.endswith("/process-task/")]
        assert len(uploads) == 3
        # Pictures are made only of the photos in sight, and let go.
        assert page.locator("canvas.drawn").count() < 60
        page.get_by_role("button", name="Start again").click()
        expect(page.locator(".photo")).to_have_count(0)
        expect(page.get_by_label("Choose photos")).to_be_focused()
