"""The page `/review`: results are accepted, or covered further, without their originals."""

import re
from dataclasses import dataclass

import pytest
import requests
from playwright.sync_api import Page, Route, expect
from redis import Redis

from tests.acceptance.page.actions import enter_key, open_review, submit_for_review
from tests.acceptance.page.axe import faults
from tests.acceptance.page.conftest import KEY, Visiting
from tests.support.pictures import pixels_of
from tests.support.redis_server import RedisServer
from tests.support.service import Service

pytestmark = pytest.mark.acceptance

PLACE = (300, 60, 420, 90)  # left, top, right, bottom of what is covered, in pixels of the result


@dataclass(frozen=True)
class Seen:
    """The picture as it lies on the screen."""

    page: Page

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return where a pixel of the picture is."""
        box = self.page.locator(".view-image").bounding_box()
        size = self.page.locator(".view-image").evaluate("one => [one.naturalWidth]")[0]
        assert box is not None
        scale = box["width"] / size
        return box["x"] + x * scale, box["y"] + y * scale

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag the mouse from one pixel of the picture to another."""
        (x0, y0), (x1, y1) = self.point(*start), self.point(*end)
        mouse = self.page.mouse
        mouse.move(x0, y0)
        mouse.down()
        mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
        mouse.move(x1, y1)
        mouse.up()


def draft(page: Page, number: int = 0) -> list[list[float]]:
    """Return the corners of a cover that is drawn and not sent."""
    points = page.locator(".drafts polygon").nth(number).get_attribute("points") or ""
    values = [float(value) for value in re.split(r"[ ,]+", points)]
    return [values[place : place + 2] for place in range(0, 8, 2)]


def needs_review(service: Service, task_id: str) -> list[bool]:
    """Return the marks of a task's results."""
    results = service.status(task_id)["results"]
    assert isinstance(results, list)
    return [result.get("needs_review", False) for result in results]


def test_results_are_accepted_by_keyboard_alone(service: Service, visit: Visiting) -> None:
    task_id = submit_for_review(service, 0, 1)
    with visit(service.url) as visited:
        page, press = visited.page, visited.page.keyboard.press
        page.get_by_role("link", name="Review").focus()
        press("Enter")
        expect(page.locator("#total")).to_have_text("2 results in the queue")
        title, accept = page.locator("#stage-title"), page.get_by_role("button", name="Accept")
        expect(title).to_have_text("covered_0.webp")
        expect(accept).to_be_enabled()
        expect(page.locator(".known polygon")).not_to_have_count(0)
        expect(page.locator("#reason")).to_contain_text(re.compile(r"score of \d+%"))
        press("n")
        expect(title).to_have_text("covered_1.webp")
        press("p")
        expect(title).to_have_text("covered_0.webp")
        expect(accept).to_be_enabled()
        assert faults(page) == []
        press("a")
        expect(page.locator("#total")).to_have_text("1 result in the queue")
        expect(page.locator("#status")).to_have_text("covered_0.webp is accepted.")
        expect(title).to_have_text("covered_1.webp")
        assert needs_review(service, task_id) == [False, True]
        expect(accept).to_be_enabled()
        press("a")
        expect(page.locator("#empty")).to_contain_text("Nothing to review")
        assert needs_review(service, task_id) == [False, False]
        assert faults(page) == []


def test_a_cover_is_drawn_and_sent(service: Service, visit: Visiting) -> None:
    task_id = submit_for_review(service, 0)
    url = f"{service.url}/tasks_storage/{task_id}/output/covered_0.webp"
    before = requests.get(url, timeout=30)
    left, top, right, bottom = PLACE
    with visit(service.url) as visited:
        page, seen = visited.page, Seen(visited.page)
        open_review(page, service)
        page.keyboard.press("c")
        seen.drag((left, top), (right - 40, bottom - 10))
        for name in ("+", "+", "-"):
            page.keyboard.press(name)
        # The picture may be enlarged by now; its third corner is drawn to where it belongs.
        seen.drag((right - 40, bottom - 10), (right, bottom))
        seen.drag((right - 40, top), (right, top))
        seen.drag((left, bottom - 10), (left, bottom))
        drawn = draft(page)
        wanted = [[left, top], [right, top], [right, bottom], [left, bottom]]
        for (x, y), (wanted_x, wanted_y) in zip(drawn, wanted, strict=True):
            assert abs(x - wanted_x) < 3
            assert abs(y - wanted_y) < 3
        assert faults(page) == []
        page.get_by_role("button", name="Accept").click()
        expect(page.locator("#status")).to_contain_text("Send the drawn covers first")
        with page.expect_response("**/output/covered_0.webp*") as loaded:
            page.keyboard.press("s")
        expect(page.locator("#status")).to_contain_text("This is the new version.")
        expect(page.locator(".drafts polygon")).to_have_count(0)
        expect(page.locator("#facts")).to_contain_text("Corrections made1")
        after = requests.get(url, timeout=30)
        assert loaded.value.headers["etag"] == after.headers["ETag"] != before.headers["ETag"]
    old, new = (pixels_of(one.content)[top:bottom, left:right] for one in (before, after))
    assert abs(new.astype(int) - old).mean() > 20, "the place has not changed"
    assert new.std(axis=(0, 1)).max() < 20, "something is seen through the cover"
    assert needs_review(service, task_id) == [True]


def test_covers_are_drawn_by_keyboard_and_undone(service: Service, visit: Visiting) -> None:
    submit_for_review(service, 0)
    with visit(service.url, locale="ru-RU") as visited:
        page, press = visited.page, visited.page.keyboard.press
        open_review(page, service)
        expect(page.get_by_role("heading", level=1)).to_have_text("Проверка")
        send = page.get_by_role("button", name="Отправить")
        expect(send).to_be_disabled()
        press("c")
        press("Enter")
        expect(page.get_by_label("Накладка 1, левый верхний угол")).to_be_focused()
        first = draft(page)
        press("ArrowLeft")
        press("Shift+ArrowUp")
        press("Alt+ArrowDown")
        (x, y), *others = first
        moved = [[x - 1, y - 9], *([other_x, other_y + 1] for other_x, other_y in others)]
        assert draft(page) == [pytest.approx(corner) for corner in moved]
        press("c")
        press("Enter")
        expect(page.locator(".drafts polygon")).to_have_count(2)
        press("Control+z")
        expect(page.locator(".drafts polygon")).to_have_count(1)
        press("c")
        press("Escape")
        page.get_by_label("Накладка 1, левый верхний угол").press("Delete")
        expect(page.locator(".drafts polygon")).to_have_count(0)
        expect(send).to_be_disabled()
        assert faults(page) == []


def test_the_picture_is_enlarged_and_moved(service: Service, visit: Visiting) -> None:
    submit_for_review(service, 0)
    with visit(service.url) as visited:
        page, seen = visited.page, Seen(visited.page)
        open_review(page, service)
        whole = page.locator(".view-image").bounding_box()
        place = seen.point(400, 300)
        page.mouse.move(*place)
        page.mouse.wheel(0, -600)
        expect(page.locator(".view.enlarged")).to_be_visible()
        assert seen.point(400, 300) == pytest.approx(place, abs=3)  # what the mouse points at stays
        seen.drag((400, 300), (380, 290))
        x, y = seen.point(400, 300)
        assert x < place[0]
        assert y < place[1]
        page.keyboard.press("ArrowLeft")
        assert seen.point(400, 300)[0] > x
        page.keyboard.press("0")
        assert page.locator(".view-image").bounding_box() == whole


@pytest.mark.parametrize(
    ("locale", "name", "hint"),
    [
        ("en-US", "Single-key shortcuts", "Plus and minus"),
        ("ru-RU", "Клавиши из одного символа", "Плюс и минус"),
    ],
)
def test_keys_of_one_character_are_switched_off(
    service: Service, visit: Visiting, locale: str, name: str, hint: str
) -> None:
    task_id = submit_for_review(service, 0)
    with visit(service.url, locale=locale) as visited:
        page, press = visited.page, visited.page.keyboard.press
        open_review(page, service)
        expect(page.locator("kbd").first).to_be_visible()
        view, hinted = page.locator("#view"), re.compile(hint)
        expect(view).to_have_attribute("aria-label", hinted)
        page.get_by_label(name).uncheck()
        expect(view).not_to_have_attribute("aria-label", hinted)
        page.reload()
        accept = page.locator('[data-command="accept"]')
        expect(accept).to_be_enabled()
        expect(page.get_by_label(name)).not_to_be_checked()
        expect(page.locator("kbd:visible, [aria-keyshortcuts]")).to_have_count(0)
        expect(view).not_to_have_attribute("aria-label", hinted)
        whole = page.locator(".view-image").bounding_box()
        for key in ("c", "+", "a"):
            press(key)
        cyrillic = {"key": "ф", "code": "KeyA", "bubbles": True}
        page.evaluate(
            "(key) => document.dispatchEvent(new KeyboardEvent('keydown', key))", cyrillic
        )
        assert page.locator(".view-image").bounding_box() == whole
        expect(page.locator(".view.drawing")).to_have_count(0)
        assert faults(page) == []
        page.locator('[data-command="cover"]').click()
        press("Enter")
        expect(page.locator(".drafts polygon")).to_have_count(1)
        press("Control+z")
        expect(page.locator(".drafts polygon")).to_have_count(0)
        assert needs_review(service, task_id) == [True]
        page.get_by_label(name).check()
        expect(accept).to_have_attribute("aria-keyshortcuts", "A")
        expect(view).to_have_attribute("aria-label", hinted)
        press("a")
        expect(page.locator("#empty")).to_be_visible()
        assert needs_review(service, task_id) == [False]


def test_a_busy_service_is_asked_again_for_a_correction(service: Service, visit: Visiting) -> None:
    submit_for_review(service, 0)
    with visit(service.url) as visited:
        page = visited.page
        open_review(page, service)
        keys: list[str] = []

        def refuse_then_wait(route: Route) -> None:
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) == 1:
                route.fulfill(status=503, headers={"Retry-After": "1"}, body="{}")
            elif len(keys) == 2:
                route.fulfill(status=202, json={"status": "pending", "result": {}})
            else:
                route.continue_()

        page.route("**/covers", refuse_then_wait)
        page.keyboard.press("c")
        page.keyboard.press("Enter")
        page.keyboard.press("s")
        expect(page.locator("#status")).to_contain_text("Next attempt in")
        expect(page.locator("#status")).to_contain_text("making the new version")
        expect(page.locator("#status")).to_contain_text("This is the new version.")
        assert len(keys) == 3
        assert len(set(keys)) == 1, "a repeat would add the cover again"
        expect(page.locator("#facts")).to_contain_text("Corrections made1")
        visited.allow("503")


def test_errors_of_the_review_in_plain_words(
    service: Service, visit: Visiting, running_redis: RedisServer
) -> None:
    submit_for_review(service, 0)
    with visit(service.url) as visited:
        page = visited.page
        open_review(page, service)
        page.keyboard.press("c")
        page.keyboard.press("Enter")
        refusal = {"type": "urn:plate-detect:invalid-covers"}
        page.route("**/covers", lambda route: route.fulfill(status=422, json=refusal))
        page.keyboard.press("s")
        expect(page.locator("#status")).to_contain_text("The service refuses these covers")
        page.keyboard.press("u")
        with Redis.from_url(running_redis.url) as redis:
            redis.delete(*redis.keys("{page}:task:*"))
        page.keyboard.press("a")
        expect(page.locator("#status")).to_contain_text("it has expired, or somebody has deleted")
        expect(page.get_by_role("button", name="Accept")).to_be_disabled()
        page.keyboard.press("n")
        expect(page.locator("#empty")).to_be_visible()
        visited.allow("422")
        visited.allow("404")


def test_a_filter_that_nothing_matches(service: Service, visit: Visiting) -> None:
    submit_for_review(service, 0)
    with visit(service.url) as visited:
        page = visited.page
        open_review(page, service)
        page.get_by_label("Score", exact=True).select_option("0-0.3")
        expect(page.locator("#empty")).to_contain_text(
            "No result in the queue matches this filter."
        )
        page.get_by_label("Score", exact=True).select_option("")
        page.get_by_label("Age", exact=True).select_option("3600")
        expect(page.locator("#stage-title")).to_have_text("covered_0.webp")


def test_the_review_asks_for_a_key(locked: Service, visit: Visiting) -> None:
    with visit(locked.url) as visited:
        page = visited.page
        page.goto(f"{locked.url}/review")
        enter_key(page, "a-key-that-is-wrong")
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("refuses this key")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#notices")).to_contain_text("The service needs a valid API key.")
        page.get_by_role("button", name="Look again").click()
        enter_key(page, KEY)
        expect(page.locator("#total")).to_contain_text("in the queue")
        visited.allow("401")


def test_a_finger_places_a_cover_and_two_enlarge(service: Service, visit: Visiting) -> None:
    submit_for_review(service, 0)
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with visit(service.url, **phone) as visited:
        page, seen = visited.page, Seen(visited.page)
        open_review(page, service)
        page.get_by_role("button", name="Add a cover").tap()
        page.touchscreen.tap(*seen.point(480, 320))
        expect(page.locator(".handle")).to_have_count(4)
        corners = draft(page)
        assert sum(x for x, _ in corners) / 4 == pytest.approx(480, abs=3)
        before = page.locator(".view-image").bounding_box()
        _pinch(page, seen.point(480, 320))
        after = page.locator(".view-image").bounding_box()
        assert before is not None
        assert after is not None
        assert after["width"] > 1.5 * before["width"]
        assert draft(page) == corners


def _pinch(page: Page, middle: tuple[float, float]) -> None:
    """Move two fingers apart around a point."""
    x, y = middle
    session = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 60)):
        points = [{"x": x + sign * apart, "y": y + 60, "id": 1 + sign} for sign in (-1, 1)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
