"""Receive both webhooks with FastAPI on uvicorn."""

import asyncio
import os
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request

from plate_detect_client.fastapi import verified_callback, verified_upload

SECRET = os.environ["WEBHOOK_SECRET"]
FOLDER = Path(os.environ["IMAGES_FOLDER"])
FIELD = os.environ.get("WEBHOOK_IMAGES_FIELD", "images")

FOLDER.mkdir(parents=True, exist_ok=True)
app = FastAPI()


@app.post("/plates/upload", status_code=204)
async def upload(request: Request) -> None:
    """Store the images of a completed task."""
    async with verified_upload(request, SECRET, field=FIELD) as verified:
        await verified.save(FOLDER)


@app.post("/plates/callback", status_code=204)
async def callback(request: Request) -> None:
    """Store the state of a task that has ended."""
    state = await verified_callback(request, SECRET)
    path = FOLDER / f"{state.task_id}.json"
    await asyncio.to_thread(path.write_bytes, await request.body())


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
