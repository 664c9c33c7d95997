"""What an upload becomes, and which ones are refused as a whole."""

import re

import aiohttp
import pytest

from tests.integration.producer.conftest import (
    JPEG,
    PNG,
    UPLOAD,
    WEBP,
    RunningProducer,
    StartProducer,
)


async def test_files_become_one_task_with_an_entry_each(producer: RunningProducer) -> None:
    status, body = await producer.upload(("image1.jpg", JPEG), ("image2.png", PNG), ("c", WEBP))

    assert status == 202
    assert list(body) == ["task_id"]
    task_id = body["task_id"]
    messages = [message for _, message in await producer.messages()]
    assert [(m.task_id, m.index, m.total) for m in messages] == [(task_id, i, 3) for i in range(3)]
    assert [m.output for m in messages] == [
        "covered_image1.webp", "covered_image2.webp", "covered_c.webp",
    ]  # fmt: skip
    stored = [(producer.folder / (m.object or "")).read_bytes() for m in messages]
    assert stored == [JPEG, PNG, WEBP]
    assert await producer.call("GET", f"/api/v1/task-status/{task_id}") == (
        200,
        {
            "task_id": task_id,
            "status": "pending",
            "results": [],
            "errors": [],
            "progress": {"done": 0, "total": 3},
            "needs_review": False,
        },
    )


@pytest.mark.parametrize("path", [UPLOAD, UPLOAD.rstrip("/")])
async def test_location_leads_to_the_status(producer: RunningProducer, path: str) -> None:
    form = aiohttp.FormData()
    form.add_field("files", JPEG, filename="a.jpg")
    async with producer.session.post(producer.url + path, data=form) as response:
        assert response.status == 202
        location = response.headers["Location"]
    assert (await producer.call("GET", location))[0] == 200


@pytest.mark.parametrize(
    ("sent", "kept", "outputs"),
    [
        (["фото.jpg"], ["фото.jpg"], ["covered_фото.webp"]),
        (["🚗 car.jpg"], ["🚗 car.jpg"], ["covered_🚗 car.webp"]),
        (["a\u202egpj.exe"], ["agpj.exe"], ["covered_agpj.webp"]),
        (["a.jpg", "A.png", "a.jpg"], None,
         ["covered_a.webp", "covered_A_2.webp", "covered_a_3.webp"]),
        (["../../etc/passwd"], ["passwd"], ["covered_passwd.webp"]),
        (["C:\\photos\\me.jpg"], ["me.jpg"], ["covered_me.webp"]),
        ([".."], ["image"], ["covered_image.webp"]),
    ],
)  # fmt: skip
async def test_names(
    producer: RunningProducer, sent: list[str], kept: list[str] | None, outputs: list[str]
) -> None:
    status, _ = await producer.upload(*((name, JPEG) for name in sent))

    assert status == 202
    messages = [message for _, message in await producer.messages()]
    assert [m.filename for m in messages] == (kept or sent)
    assert [m.output for m in messages] == outputs
    assert all(re.fullmatch(r"[0-9a-f-]{36}/input/\d", m.object or "") for m in messages)


async def test_names_as_rfc_5987_and_in_an_old_code_page(producer: RunningProducer) -> None:
    disposition = b"form-data; name=\"files\"; filename*=UTF-8''%D0%B0%2Fb.jpg"
    latin = b'form-data; name="files"; filename="caf\xe9.jpg"'
    body = b"".join(
        b"--B\r\nContent-Disposition: " + head + b"\r\n\r\n" + JPEG + b"\r\n"
        for head in (disposition, latin)
    )
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    status, _ = await producer.call("POST", UPLOAD, data=body + b"--B--\r\n", headers=headers)

    assert status == 202
    messages = [message for _, message in await producer.messages()]
    assert [m.output for m in messages] == ["covered_b.webp", "covered_café.webp"]


async def test_a_large_file_arrives_whole(producer: RunningProducer) -> None:
    content = JPEG + bytes(range(256)) * 50_000  # 12.8 MB: several parts of a streamed write
    status, body = await producer.upload(("large.jpg", content))
    assert status == 202
    assert (producer.folder / body["task_id"] / "input" / "0").read_bytes() == content
    assert await producer.metric("plate_upload_bytes_total") == len(content)


@pytest.mark.parametrize(
    ("files", "status", "kind"),
    [
        ([], 400, "no-files"),
        ([("a.jpg", JPEG), ("b.jpg", b"GIF89a" + b"0" * 100)], 415, "unsupported-type"),
        ([("a.jpg", b"")], 415, "unsupported-type"),
        ([("a.jpg", b"\xff\xd8")], 415, "unsupported-type"),
        ([("a.webp", b"RIFF\x00\x00\x00\x00WAVE" + b"0" * 100)], 415, "unsupported-type"),
        ([("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")], 415, "unsupported-type"),
        ([("a.jpg", JPEG)] * 4, 413, "too-many-files"),
        ([("a.jpg", JPEG), ("b.jpg", JPEG * 100)], 413, "file-too-large"),
    ],
)
async def test_one_bad_file_refuses_all(
    start_producer: StartProducer,
    redis_server: str,
    files: list[tuple[str, bytes]],
    status: int,
    kind: str,
) -> None:
    producer = await start_producer(
        redis_server, max_files_per_request=3, max_file_size_bytes=100_000
    )
    if files:
        answer = await producer.upload(*files)
    else:
        empty = aiohttp.FormData({"note": "x"}, default_to_multipart=True)
        answer = await producer.call("POST", UPLOAD, data=empty)

    assert answer[0] == status
    assert answer[1]["type"] == f"urn:plate-detect:{kind}"
    assert answer[1]["status"] == status
    assert answer[1]["detail"]
    assert producer.files() == []
    assert await producer.messages() == []
    assert await producer.metric(f'plate_tasks_refused_total{{reason="{kind}"}}') == 1


async def test_limits_are_inclusive(start_producer: StartProducer, redis_server: str) -> None:
    producer = await start_producer(
        redis_server, max_files_per_request=2, max_file_size_bytes=len(JPEG)
    )
    assert (await producer.upload(("a", JPEG), ("b", JPEG)))[0] == 202
    assert (await producer.upload(("a", JPEG + b"j")))[0] == 413


@pytest.mark.parametrize(
    ("content_type", "encoding", "status"),
    [
        ("application/json", None, 400),
        ("image/jpeg", None, 400),
        ("multipart/form-data", None, 400),
        ("multipart/mixed; boundary=B", None, 400),
        ("multipart/form-data; boundary=" + "b" * 71, None, 400),
        ("multipart/form-data; boundary=B", "gzip", 415),
    ],
)
async def test_headers_that_promise_no_form(
    producer: RunningProducer, content_type: str, encoding: str | None, status: int
) -> None:
    headers = {"Content-Type": content_type} | ({"Content-Encoding": encoding} if encoding else {})
    answer, body = await producer.call("POST", UPLOAD, data=JPEG, headers=headers)
    assert (answer, body["status"]) == (status, status)


async def test_too_large_request_is_refused_by_its_header(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, max_request_size_mb=1)
    answer = await producer.raw(
        b"POST /api/v1/process-task/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\nExpect: 100-continue\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer
    assert b"request-too-large" in answer


async def test_too_large_request_without_a_length(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, max_request_size_mb=1)
    sent = 0

    async def endless() -> object:
        nonlocal sent
        yield b'--B\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + JPEG
        while True:
            sent += 65_536
            yield b"j" * 65_536

    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    async with producer.session.post(
        producer.url + UPLOAD, data=endless(), headers=headers
    ) as response:
        assert response.status == 413
        assert (await response.json(content_type=None))["type"].endswith("request-too-large")
    assert sent < 64 << 20  # what the limit, the linger and the sockets' buffers can hold
    assert producer.files() == []


async def test_continue_is_sent_when_the_upload_is_wanted(producer: RunningProducer) -> None:
    form = aiohttp.FormData()
    form.add_field("files", JPEG, filename="a.jpg")
    async with producer.session.post(producer.url + UPLOAD, data=form, expect100=True) as response:
        assert response.status == 202
