"""FastAPI on uvicorn: prints what it reads of each upload as a line of JSON."""

import hashlib
import json
import os
from typing import Annotated

import uvicorn
from fastapi import FastAPI, File, Form, HTTPException, Request, UploadFile

app = FastAPI()


@app.post("/hook")
async def receive(
    request: Request,
    task_id: Annotated[str, Form()],
    files: Annotated[list[UploadFile], File(alias=os.environ["IMAGES_FIELD"])],
) -> None:
    images = [(file.filename, hashlib.sha256(await file.read()).hexdigest()) for file in files]
    read = {"task_id": task_id, "images": images, "headers": dict(request.headers)}
    print(json.dumps(read), flush=True)


@app.post("/refuse")
async def refuse() -> None:
    """Without reading what is sent."""
    raise HTTPException(401)


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
