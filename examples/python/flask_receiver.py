"""Receive both webhooks with Flask, here on its development server."""

import os
from pathlib import Path

from flask import Flask, request

from plate_detect_client.flask import verified_callback, verified_upload

SECRET = os.environ["WEBHOOK_SECRET"]
FOLDER = Path(os.environ["IMAGES_FOLDER"])
FIELD = os.environ.get("WEBHOOK_IMAGES_FIELD", "images")

FOLDER.mkdir(parents=True, exist_ok=True)
app = Flask(__name__)


@app.post("/plates/upload")
def upload() -> tuple[str, int]:
    """Store the images of a completed task."""
    verified_upload(request, SECRET, field=FIELD).save(FOLDER)
    return "", 204


@app.post("/plates/callback")
def callback() -> tuple[str, int]:
    """Store the state of a task that has ended."""
    state = verified_callback(request, SECRET)
    (FOLDER / f"{state.task_id}.json").write_bytes(request.get_data())
    return "", 204


if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["PORT"]))
