"""Languages, keys, and what a browser remembers of earlier visits."""

import re

import pytest
from playwright.sync_api import expect
from redis import Redis

from tests.acceptance.page.actions import choose, enter_key, photo, row, wait_compared, wait_done
from tests.acceptance.page.axe import faults
from tests.acceptance.page.conftest import KEY, Visiting
from tests.support.redis_server import RedisServer
from tests.support.service import Service

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


def test_the_language_of_the_browser_or_a_chosen_one(service: Service, visit: Visiting) -> None:
    with visit(service.url, locale="ru-RU") as visited:
        page = visited.page
        expect(page.locator("html")).to_have_attribute("lang", "ru")
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Закройте номера"))
        choose(page, photo("кот.jpg", b"hello"))
        expect(row(page, "кот.jpg")).to_contain_text("Это не фотография")
        page.get_by_role("button", name="English").click()
        expect(row(page, "кот.jpg")).to_contain_text("This is not a JPEG")
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Cover licence"))
        page.get_by_role("button", name="Русский").click()
        expect(page).to_have_title(re.compile("номера"))
        assert faults(page) == []


@pytest.mark.parametrize(("locale", "space"), [("en-US", ""), ("ru-RU", "\xa0")])
def test_only_a_whole_is_a_hundred_per_cent(
    service: Service, visit: Visiting, locale: str, space: str
) -> None:
    shares = {1: 100, 0.9999: 99, 0.997: 99, 0.29: 29, 0.57: 57, 0.299: 29, 0.001: 0, 0: 0}
    with visit(service.url, locale=locale) as visited:
        shown = visited.page.evaluate(
            """async (shares) => {
              const address = new URL("assets/ui/js/i18n.js", document.baseURI);
              return shares.map((await import(address)).percent);
            }""",
            list(shares),
        )
    assert shown == [f"{wanted}{space}%" for wanted in shares.values()]


def test_an_earlier_task_until_it_expires(
    service: Service, visit: Visiting, running_redis: RedisServer
) -> None:
    with visit(service.url) as visited:
        page = visited.page
        choose(page, photo("car.jpg"), photo("broken.jpg", photo("x")["buffer"][:9000]))
        wait_done(page)
        page.reload()
        recent = page.locator("#recent li")
        expect(recent).to_contain_text("car.jpg and 1 more")
        recent.get_by_role("button", name="Open").click()
        expect(row(page, "covered_car.webp")).to_contain_text("Please check")
        expect(row(page, "broken.jpg")).to_contain_text("The file is damaged")
        # The service has no originals, and this visit has not chosen any.
        expect(page.locator(".frame.has-after:not(.has-before)")).to_be_visible()
        expect(page.locator(".stage .notice")).to_contain_text("nothing to compare with")
        page.get_by_role("button", name="Start again").click()

        with Redis.from_url(running_redis.url) as redis:
            redis.delete(*redis.keys("{page}:task:*"))
        recent.get_by_role("button", name="Open").click()
        expect(recent).to_contain_text("The service no longer keeps this photo.")
        expect(page.get_by_role("alert")).to_contain_text("no longer keeps")
        assert faults(page) == []
        recent.get_by_role("button", name="Remove").click()
        expect(page.locator("#recent")).to_be_hidden()
        visited.allow("404")


def test_a_task_is_deleted_from_the_service(service: Service, visit: Visiting) -> None:
    with visit(service.url) as visited:
        page = visited.page
        with page.expect_response("**/process-task/") as response:
            choose(page, photo("car.jpg"))
        task_id = response.value.json()["task_id"]
        wait_done(page)
        page.locator("#recent li").get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.locator("#recent")).to_be_hidden()
        expect(page.locator(".photo")).to_have_count(0)
        assert service.status(task_id)["status"] == "failed"


def test_a_refused_key_is_asked_for_again(locked: Service, visit: Visiting) -> None:
    with visit(locked.url) as visited:
        page = visited.page
        choose(page, photo("car.jpg"))
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("This service asks for a key.")
        assert faults(page) == []
        enter_key(page, "a-key-that-is-wrong")
        expect(dialog.get_by_role("alert")).to_contain_text("The service refuses this key.")
        dialog.get_by_role("button", name="Cancel").click()
        expect(row(page, "car.jpg")).to_contain_text("The service needs a valid API key.")

        page.get_by_role("button", name="Try 1 photo again").click()
        enter_key(page, KEY)
        wait_compared(page)
        page.reload()
        choose(page, photo("car.jpg"))
        wait_compared(page)  # the key is remembered as long as the tab is open
        assert KEY not in page.evaluate("() => JSON.stringify(localStorage)")
        visited.allow("401")
