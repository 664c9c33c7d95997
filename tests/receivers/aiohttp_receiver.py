"""aiohttp, as in docs/webhooks.md: prints what it reads of each upload as a line of JSON."""

import hashlib
import json
import os

from aiohttp import web


async def receive(request: web.Request) -> web.Response:
    form = await request.post()
    images = [
        (image.filename, hashlib.sha256(image.file.read()).hexdigest())
        for image in form.getall(os.environ["IMAGES_FIELD"])
    ]
    headers = {name.lower(): value for name, value in request.headers.items()}
    read = {"task_id": form["task_id"], "images": images, "headers": headers}
    print(json.dumps(read), flush=True)
    return web.Response()


async def refuse(_: web.Request) -> web.Response:
    """Without reading what is sent."""
    return web.Response(status=401)


app = web.Application(client_max_size=1 << 30)
app.add_routes([web.post("/hook", receive), web.post("/refuse", refuse)])
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None, access_log=None)
