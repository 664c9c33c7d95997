"""Receive both webhooks with aiohttp."""

import asyncio
import os
from pathlib import Path

from aiohttp import web

from plate_detect_client.aiohttp import verified_callback, verified_upload

SECRET = os.environ["WEBHOOK_SECRET"]
FOLDER = Path(os.environ["IMAGES_FOLDER"])
FIELD = os.environ.get("WEBHOOK_IMAGES_FIELD", "images")

FOLDER.mkdir(parents=True, exist_ok=True)
routes = web.RouteTableDef()


@routes.post("/plates/upload")
async def upload(request: web.Request) -> web.Response:
    """Store the images of a completed task."""
    async with verified_upload(request, SECRET, field=FIELD) as verified:
        await verified.save(FOLDER)
    return web.Response(status=204)


@routes.post("/plates/callback")
async def callback(request: web.Request) -> web.Response:
    """Store the state of a task that has ended."""
    state = await verified_callback(request, SECRET)
    path = FOLDER / f"{state.task_id}.json"
    await asyncio.to_thread(path.write_text, state.model_dump_json())
    return web.Response(status=204)


if __name__ == "__main__":
    app = web.Application()
    app.add_routes(routes)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None, access_log=None)
