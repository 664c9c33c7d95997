"""The yardstick: what a first version of this service usually looks like.

FastAPI, one thread pool per request, Pillow with its default WebP method, ultralytics' predictor
behind a lock, results in memory. Same checkpoint, same stub, same API as far as the load needs it.

    python tests/bench/naive.py CHECKPOINT STUB PORT
"""

import io
import sys
import tempfile
import threading
import types
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

if "torchvision" not in sys.modules:
    # Its CPU wheel does not always load beside torch's; of it the predictor needs nothing here.
    vision = types.ModuleType("torchvision")
    vision.__version__ = "0.0.0"  # type: ignore[attr-defined]
    vision.__spec__ = types.SimpleNamespace(name="torchvision")  # type: ignore[assignment]
    sys.modules["torchvision"] = vision

import uvicorn
from fastapi import BackgroundTasks, FastAPI, Response, UploadFile
from PIL import Image
from ultralytics import YOLO

from consumer.vision.detect.checkpoint import build_network, load_checkpoint

app = FastAPI()
tasks: dict[str, dict[str, Any]] = {}
results: dict[str, bytes] = {}
lock = threading.Lock()
model: Any = None
stub: Any = None


@app.get("/ready")
def ready() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/api/v1/process-task/", status_code=202)
async def process(files: list[UploadFile], background: BackgroundTasks) -> dict[str, str]:
    task_id = uuid.uuid4().hex
    tasks[task_id] = {"task_id": task_id, "status": "processing", "results": []}
    contents = [(file.filename or "", await file.read()) for file in files]
    background.add_task(run, task_id, contents)
    return {"task_id": task_id}


@app.get("/api/v1/task-status/{task_id}")
def status(task_id: str) -> dict[str, Any]:
    return tasks[task_id]


@app.get("/results/{name:path}")
def result(name: str) -> Response:
    return Response(results[name], media_type="image/webp")


def run(task_id: str, contents: list[tuple[str, bytes]]) -> None:
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda file: cover(task_id, *file), contents))
    tasks[task_id]["results"] = done
    tasks[task_id]["status"] = "completed"


def cover(task_id: str, name: str, data: bytes) -> dict[str, Any]:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    with lock:
        [found] = model.predict(image, imgsz=640, conf=0.25, verbose=False)
    covers = []
    for box in found.obb.xyxy.tolist():
        left, top, right, bottom = (round(value) for value in box)
        plate = stub.resize((max(1, right - left), max(1, bottom - top)))
        image.paste(plate, (left, top), plate)
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        covers.append({"quad": corners})
    output = io.BytesIO()
    image.save(output, "WEBP", quality=90)
    key = f"{task_id}/{name}.webp"
    results[key] = output.getvalue()
    return {"filename": name, "url": f"/results/{key}", "detections": covers}


def load(checkpoint: Path) -> Any:
    """Wrap our checkpoint as ultralytics saves its own."""
    loaded = load_checkpoint(checkpoint)
    network: Any = build_network(loaded)
    network.names, network.args = loaded.names, {"imgsz": 640, "task": "obb"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "naive.pt"
        torch.save({"model": network, "train_args": {"task": "obb"}}, path)
        return YOLO(path)


if __name__ == "__main__":
    model, stub = load(Path(sys.argv[1])), Image.open(sys.argv[2]).convert("RGBA")
    model.predict(Image.new("RGB", (640, 480)), imgsz=640, verbose=False)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
