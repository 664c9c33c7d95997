"""The program from its wheel alone: an environment and a folder that know nothing of the checkout.

The environment has links to the packages of the tests, but only to those that the wheel's metadata
name. So nothing is downloaded.
"""

import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from schemas.version import VERSION
from tests.acceptance.release.conftest import KEY, Installed
from tests.support.pictures import assert_covered, scene, scene_file
from tests.support.run_command import Run

pytestmark = [pytest.mark.slow, pytest.mark.acceptance, pytest.mark.timeout(300)]

PAGES = ("/", "/review", "/docs", "/redoc", "/docs/stream")
_IMPORTED = re.compile(r"""(?:from|import)\s*\(?\s*["'](\./[^"']+|\.\./[^"']+)["']""")
_CLIENT = """
import sys
from plate_detect_client import Client

url, key, photo, out = sys.argv[1:]
with Client(url, api_key=key) as client:
    state = client.wait(client.submit([photo]), timeout_seconds=90)
    (path,) = client.save_results(state, out)
    print(path)
"""


def run(installed: Installed, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=installed.folder, env=installed.environment, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip


class Assets(HTMLParser):
    """Addresses of the scripts, styles and pictures of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an address."""
        wanted = {"script": "src", "link": "href", "img": "src"}.get(tag)
        self.found += [value for name, value in attrs if name == wanted and value]


def test_the_checkout_cannot_be_imported(installed: Installed) -> None:
    shown = run(installed, str(installed.python), "-P", "-c", "import schemas; print(schemas)")
    assert str(installed.site) in shown.stdout, shown.stderr
    for module in ("tests", "pytest"):
        assert run(installed, str(installed.python), "-c", f"import {module}").returncode


def test_help_and_version(installed: Installed) -> None:
    shown = run(installed, installed.command, "--help")
    assert "doctor" in shown.stdout, shown.stderr
    assert run(installed, installed.command, "--version").stdout == f"plate-detect {VERSION}\n"


def test_doctor_finds_no_problem(installed: Installed, service: Run) -> None:
    shown = run(installed, installed.command, "doctor", "--json")
    findings = [json.loads(line) for line in shown.stdout.splitlines()]
    assert {one["check"] for one in findings} >= {"settings", "redis", "storage", "model", "ports"}
    assert not [one for one in findings if one["level"] == "problem"], service.output


def test_a_photo_is_covered(installed: Installed, service: Run) -> None:
    photo = {"files": ("car.jpg", scene_file(3))}
    url = f"{service.url}/api/v1/process-task/"
    assert requests.post(url, files=photo, timeout=30).status_code == 401, "no key of .env"
    shown = run(
        installed, installed.command, "submit", str(_photo(installed)), "--url", service.url,
        "--api-key", KEY, "--out", "covered",
    )  # fmt: skip
    assert shown.returncode in {0, 3}, shown.stderr
    (covered,) = installed.folder.glob("covered/**/*.webp")
    assert_covered(scene(3), covered.read_bytes())
    assert list((installed.folder / "tasks_storage").rglob("output/*")), "storage is in the folder"


def test_the_client_is_enough_to_use_it(
    installed_client: Installed, service: Run, tmp_path: Path
) -> None:
    shown = run(
        installed_client, str(installed_client.python), "-c", _CLIENT, service.url, KEY,
        str(_photo(installed_client)), str(tmp_path),
    )  # fmt: skip
    assert not shown.returncode, shown.stderr
    assert_covered(scene(3), Path(shown.stdout.strip()).read_bytes())
    assert run(installed_client, str(installed_client.python), "-c", "import redis").returncode


def _photo(installed: Installed) -> Path:
    path = installed.folder / "car.jpg"
    path.write_bytes(scene_file(3))
    return path


@pytest.mark.parametrize("page", PAGES)
def test_a_page_and_all_that_it_loads(service: Run, page: str) -> None:
    with requests.Session() as session:
        waiting = [f"{service.url}{page}"]
        seen = set(waiting)
        while waiting:
            url = waiting.pop()
            response = session.get(url, timeout=30)
            assert response.status_code == 200, url
            found = []
            if "html" in response.headers["Content-Type"]:
                parser = Assets()
                parser.feed(response.text)
                found = parser.found
            elif "/assets/ui/" in url and "javascript" in response.headers["Content-Type"]:
                found = _IMPORTED.findall(response.text)
            new = {urljoin(url, each) for each in found if not each.startswith("data:")} - seen
            seen |= new
            waiting += new
    assert len(seen) > 1


def test_the_documents_are_served_with_the_version(service: Run) -> None:
    openapi = requests.get(f"{service.url}/openapi.json", timeout=30).json()
    assert openapi["info"]["version"] == VERSION
    assert requests.get(f"{service.url}/asyncapi.json", timeout=30).json()["channels"]
