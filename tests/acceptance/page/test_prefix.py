"""The page below a path prefix that a proxy removes, also without a slash at the end."""

import re
from contextlib import suppress

import pytest
from playwright.sync_api import Error, Route, expect

from tests.acceptance.page.actions import choose, photo, wait_compared
from tests.acceptance.page.conftest import Visiting
from tests.support.service import Service

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


def test_a_missing_slash_is_added(service: Service, visit: Visiting) -> None:
    def proxy(route: Route) -> None:
        """Pass a request on without the prefix; never redirect."""
        path = route.request.url.removeprefix(f"{service.url}/plates")
        with suppress(Error):  # the page has gone on before the response came
            route.fulfill(response=route.fetch(url=f"{service.url}/{path.removeprefix('/')}"))

    with visit(service.url) as visited:
        page = visited.page
        page.route(re.compile(rf"^{re.escape(service.url)}/plates"), proxy)
        page.goto(f"{service.url}/plates?from=mail#main")
        expect(page).to_have_url(f"{service.url}/plates/?from=mail#main")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        visited.requests.clear()
        choose(page, photo("car.jpg"))
        wait_compared(page)
        asked = [url for url in visited.requests if url.startswith("http")]
        assert asked
        assert all(url.startswith(f"{service.url}/plates/") for url in asked), asked
        page.get_by_role("link", name="Review").click()
        expect(page).to_have_url(f"{service.url}/plates/review")
        expect(page.get_by_role("heading", level=1)).to_have_text("Review")
