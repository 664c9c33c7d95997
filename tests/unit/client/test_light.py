"""The client needs httpx, pydantic and standardwebhooks, and nothing else."""

import os
import tomllib

import pytest

from tests.support.packages import installed_with, missing_modules, run_without
from tests.support.tables import ROOT

CLIENT = ROOT / "client"
PROJECT = tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SERVICE = {"cli", "consumer", "models", "producer", "schemas"}


def run_with(*pins: str, code: str) -> str:
    """Return the errors of code that has only these packages, and nothing of the service."""
    missing = missing_modules(installed_with(pins) | {"coverage"}) | SERVICE
    missing.discard("plate_detect_client")
    assert {"torch", "cv2", "numpy", "schemas"} <= missing
    return run_without(missing, code, {**os.environ, "PYTHONPATH": str(CLIENT)}).stderr


def test_http_and_webhooks_need_nothing_else() -> None:
    code = "from plate_detect_client import AsyncClient, Client, Webhooks"
    assert not run_with(*PROJECT["dependencies"], code=code)


@pytest.mark.parametrize(
    ("pins", "module"),
    [
        (PROJECT["optional-dependencies"]["redis"], "stream"),
        (["flask"], "flask"),
        (["fastapi"], "fastapi"),
        (["aiohttp"], "aiohttp"),
    ],
    ids=["redis", "flask", "fastapi", "aiohttp"],
)
def test_a_module_needs_only_its_own_package_more(pins: list[str], module: str) -> None:
    code = f"import plate_detect_client.{module}"
    assert not run_with(*PROJECT["dependencies"], *pins, code=code)


def test_without_redis_publish_says_what_is_missing() -> None:
    errors = run_with(*PROJECT["dependencies"], code="import plate_detect_client.stream")
    assert "No module named 'redis'" in errors
