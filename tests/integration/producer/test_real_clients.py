"""Each file that a real client sends becomes an image of the task, under its own name."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from schemas.contract.names import base_name
from tests.integration.producer.conftest import JPEG, UPLOAD, RunningProducer
from tests.support.programs import needed_program

NAMES = (
    "plain.jpg",
    "Car; red; front.jpg",
    "my car(1).jpg",
    "фото №1.jpg",
    "café.jpg",
    '12" wheel.jpg',
    "back\\slash.jpg",
    "100%.jpg",
    "a=b, c.jpg",
    "it's; name=x.jpg",
    "🚗.jpg",
)

Files = list[tuple[str, bytes]]
Client = Callable[[str, Files, Path], Awaitable[dict[str, Any]]]

_PROGRAM_SECONDS = 110

_NODE = """
const { readFileSync } = require("node:fs");
const form = new FormData();
for (const [name, path] of JSON.parse(process.argv[2]))
  form.append("files", new File([readFileSync(path)], name, { type: "image/jpeg" }));
fetch(process.argv[1], { method: "POST", body: form })
  .then((answer) => answer.text())
  .then((text) => console.log(text));
"""

# Without net/http, which takes long to compile.
_GO = """
package main

import ("encoding/json"; "fmt"; "mime/multipart"; "os")

func main() {
	var files [][]string
	if err := json.Unmarshal([]byte(os.Args[1]), &files); err != nil { panic(err) }
	form := multipart.NewWriter(os.Stdout)
	for _, file := range files {
		content, err := os.ReadFile(file[1])
		if err != nil { panic(err) }
		part, err := form.CreateFormFile("files", file[0])
		if err != nil { panic(err) }
		part.Write(content)
	}
	form.Close()
	fmt.Fprint(os.Stderr, form.FormDataContentType())
}
"""


def _fields(files: Files) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("files", (name, content, "image/jpeg")) for name, content in files]


async def _requests(url: str, files: Files, _: Path) -> dict[str, Any]:
    answer = await asyncio.to_thread(requests.post, url, files=_fields(files), timeout=20)
    return dict(answer.json())


async def _urllib3(url: str, files: Files, _: Path) -> dict[str, Any]:
    def post() -> urllib3.BaseHTTPResponse:
        with urllib3.PoolManager() as pool:
            return pool.request("POST", url, fields=_fields(files), timeout=20)

    return dict((await asyncio.to_thread(post)).json())


async def _httpx(url: str, files: Files, _: Path) -> dict[str, Any]:
    async with httpx.AsyncClient() as client:
        return dict((await client.post(url, files=_fields(files))).json())


async def _aiohttp(url: str, files: Files, _: Path) -> dict[str, Any]:
    form = aiohttp.FormData(quote_fields=False)
    for name, content in files:
        form.add_field("files", content, filename=name)
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
        return dict(await answer.json(content_type=None))


async def _curl(url: str, files: Files, folder: Path) -> dict[str, Any]:
    options: list[str] = []
    for _, path in _written(files, folder):
        escaped = path.replace("\\", "\\\\").replace('"', '\\"')
        options += ["-F", f'files=@"{escaped}"']
    output, _ = await _run("curl", "--silent", "--show-error", *options, url)
    return dict(json.loads(output))


async def _node(url: str, files: Files, folder: Path) -> dict[str, Any]:
    output, _ = await _run("node", "-e", _NODE, url, json.dumps(_written(files, folder)))
    return dict(json.loads(output))


async def _go(url: str, files: Files, folder: Path) -> dict[str, Any]:
    (folder / "form.go").write_text(_GO)
    listed = json.dumps(_written(files, folder))
    body, kind = await _run("go", "run", str(folder / "form.go"), listed)
    headers = {"Content-Type": kind.decode()}
    answer = await asyncio.to_thread(requests.post, url, body, headers=headers, timeout=20)
    return dict(answer.json())


def _written(files: Files, folder: Path) -> list[tuple[str, str]]:
    """Write the files under their names; return each name with its path."""
    for name, content in files:
        (folder / name).write_bytes(content)
    return [(name, str(folder / name)) for name, _ in files]


async def _run(program: str, *arguments: str) -> tuple[bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        needed_program(program), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"GO111MODULE": "off", "NO_PROXY": "*"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(_PROGRAM_SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    return output, errors


CLIENTS = {
    "requests": _requests,
    "urllib3": _urllib3,
    "httpx": _httpx,
    "aiohttp": _aiohttp,
    "curl": _curl,
    "node": _node,
    "go": _go,
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
async def test_every_file_is_taken(
    producer: RunningProducer, client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "sent"
    folder.mkdir()
    files = [(name, JPEG + str(index).encode()) for index, name in enumerate(NAMES)]

    answer = await client(producer.url + UPLOAD, files, folder)

    assert list(answer) == ["task_id"], answer
    messages = [message for _, message in await producer.messages()]
    assert [m.filename for m in messages] == [base_name(name) for name in NAMES]
    stored = [(producer.folder / (m.object or "")).read_bytes() for m in messages]
    assert stored == [content for _, content in files]


async def test_names_that_aiohttp_percent_encodes(producer: RunningProducer) -> None:
    """By default it does so, and names that have a `%` of their own look the same."""
    form = aiohttp.FormData()
    for name in ("a b.jpg", "Car; red.jpg"):
        form.add_field("files", JPEG, filename=name)
    assert (await producer.call("POST", UPLOAD, data=form))[0] == 202
    names = [message.filename for _, message in await producer.messages()]
    assert names == ["a%20b.jpg", "Car%3B%20red.jpg"]
