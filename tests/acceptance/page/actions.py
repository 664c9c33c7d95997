"""What a visitor of the page does and sees."""

import base64
from typing import Any
from urllib.parse import quote

import requests
from playwright.sync_api import Locator, Page, expect

from tests.support.pictures import scene_file
from tests.support.service import Service

File = dict[str, Any]

_DROP = """
([files]) => {
  const transfer = new DataTransfer();
  for (const { name, type, data } of files) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  for (const kind of ["dragover", "drop"]) {
    const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
    document.getElementById("drop").dispatchEvent(new DragEvent(kind, options));
  }
}
"""


def photo(name: str, content: bytes | None = None, mime_type: str = "image/jpeg") -> File:
    """Return a file to choose; by default a drawn street scene."""
    return {"name": name, "mimeType": mime_type, "buffer": content or scene_file()}


def choose(page: Page, *files: File) -> None:
    """Choose files with the button."""
    page.locator("#choose-files").set_input_files(list(files))


def drop(page: Page, *files: File) -> None:
    """Drop files onto the page."""
    sent = [
        {
            "name": file["name"],
            "type": file["mimeType"],
            "data": base64.b64encode(file["buffer"]).decode(),
        }
        for file in files
    ]
    page.evaluate(_DROP, [sent])


def row(page: Page, name: str) -> Locator:
    """Return the row of a photo in the list."""
    return page.locator(".photo", has_text=name)


def wait_done(page: Page) -> None:
    """Wait until each photo is covered, or has an error."""
    expect(page.locator("#summary progress")).to_be_hidden(timeout=60_000)


def wait_compared(page: Page) -> None:
    """Wait until the large picture shows before and after."""
    expect(page.locator(".frame.has-before.has-after")).to_be_visible(timeout=60_000)


def enter_key(page: Page, key: str) -> None:
    """Type an API key into the dialog."""
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def submit_for_review(service: Service, *seeds: int) -> str:
    """Cover drawn scenes that need review, so that the queue has only these; return their task."""
    queue = f"{service.url}/api/v1/reviews"
    while items := requests.get(queue, timeout=30).json()["items"]:
        for item in items:
            name = quote(item["result"]["filename"])
            path = f"/api/v1/tasks/{item['task_id']}/results/{name}/accept"
            requests.post(service.url + path, timeout=30)
    task_id = service.submit(*((f"{seed}.jpg", scene_file(seed)) for seed in seeds))
    service.wait_final(task_id)
    return task_id


def open_review(page: Page, service: Service) -> None:
    """Open the queue, and wait until its first result is seen."""
    page.goto(f"{service.url}/review")
    expect(page.locator('[data-command="accept"]')).to_be_enabled()
