"""Flask on its development server: prints what it reads of each upload as a line of JSON."""

import hashlib
import json
import os

from flask import Flask, request

app = Flask(__name__)


@app.post("/hook")
def receive() -> str:
    files = request.files.getlist(os.environ["IMAGES_FIELD"])
    images = [(file.filename, hashlib.sha256(file.read()).hexdigest()) for file in files]
    headers = {name.lower(): value for name, value in request.headers.items()}
    read = {"task_id": request.form["task_id"], "images": images, "headers": headers}
    print(json.dumps(read), flush=True)
    return ""


@app.post("/refuse")
def refuse() -> tuple[str, int]:
    """Without reading what is sent."""
    return "", 401


app.run("127.0.0.1", int(os.environ["PORT"]))
