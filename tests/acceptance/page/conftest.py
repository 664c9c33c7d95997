"""The service with its page, and a browser that visits it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Visit, chromium, visiting
from tests.support.redis_server import RedisServer
from tests.support.service import Service, running

KEY = "a-key-that-the-tests-use"

Visiting = Callable[..., AbstractContextManager[Visit]]


# Not for the whole session: as long as it runs, tests with an event loop of their own cannot.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running_browser:
        yield running_browser


@pytest.fixture(scope="module")
def visit(browser: Browser) -> Visiting:
    """Open the page of the service at an address, in a context with the given options."""
    return partial(visiting, browser)


@pytest.fixture(scope="session")
def service(
    running_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service with the real model, which reports its covers."""
    folder = tmp_path_factory.mktemp("page")
    settings = {"KEY_PREFIX": "{page}", "DETECTIONS": "true", "REVIEW_CONFIDENCE": "1"}
    roles = ("worker", "dispatcher", "producer")
    with running(running_redis.url, folder, *roles, **settings) as service:
        yield service


@pytest.fixture(scope="session")
def locked(
    running_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that asks for a key, with a detector that takes no time."""
    folder = tmp_path_factory.mktemp("locked")
    settings = {"KEY_PREFIX": "{locked}", "API_KEYS": KEY, "MODEL_PATH": "stand-in:1"}
    settings["CORNERS_MODEL_PATH"] = "none"
    with running(running_redis.url, folder, "worker", "producer", **settings) as service:
        yield service


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An empty folder for photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder
