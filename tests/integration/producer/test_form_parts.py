"""Each part is stored, named in the response, or a reason to refuse the whole request."""

import pytest

from tests.integration.producer.conftest import JPEG, PNG, UPLOAD, RunningProducer
from tests.integration.producer.forms import (
    BOUNDARY,
    HEIC,
    end,
    file,
    nothing_left,
    part,
    post,
    taken,
)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b'form-data; name="files"; filename="Car; red; front.jpg"', "Car; red; front.jpg"),
        (b'form-data; name="files"; filename="a;b;c;d=e;.jpg"', "a;b;c;d=e;.jpg"),
        (b'form-data; name="files"; filename=my car.jpg', "my car.jpg"),
        (b'form-data; name="files"; filename=car(1).jpg', "car(1).jpg"),
        (b'form-data; name="files"; filename="car.jpg', "car.jpg"),
        ('form-data; name="files"; filename=машина.jpg'.encode(), "машина.jpg"),
        (b'form-data; name="files"; filename=caf\xe9.jpg', "café.jpg"),
        (b'form-data; name="files"; filename="C:\\Users\\bob\\car.jpg"', "car.jpg"),
        (b'form-data; name="files"; filename="a\\"b.jpg"', 'a"b.jpg'),
        (b'form-data; name="files"; filename="a%22b%0D%0A.jpg"', 'a"b.jpg'),
        (b'form-data; name="files"; filename="a"b.jpg"', 'a"b.jpg'),
        (b'form-data; name="files"; filename="a\x01\tb.jpg"', "ab.jpg"),
        (b'form-data; name="files"; filename=""', "image"),
        (b'form-data; name="files"', "image"),
        (b"form-data; name=files; filename=a.jpg; filename*=utf-8''%D1%84.jpg", "ф.jpg"),
        (b"form-data; name=\"files\"; filename*=utf-8''%D1%84.jpg", "ф.jpg"),
        (b"form-data; name=\"files\"; filename*=utf-8''%ff", "utf-8''%ff"),
        (b'form-data; name="files";\r\n filename="folded.jpg"', "folded.jpg"),
        (b'form-data; name="files"; filename*0="a";\r\n\tfilename*1="b.jpg"', "ab.jpg"),
        (b'FORM-DATA; NAME="files"; FILENAME="a.jpg"', "a.jpg"),
        (b'form-data; name="files[]"; filename="a.jpg"', "a.jpg"),
        (b'form-data; name="files[0]"; filename="a.jpg"', "a.jpg"),
        (b'form-data; name="files[front]"; filename="a.jpg"', "a.jpg"),
        (b"form-data; name=files[]; filename=a.jpg", "a.jpg"),
        (b'form-data; filename="a.jpg"; name="files"', "a.jpg"),
        (b'attachment; name="files"; filename="a.jpg"', "a.jpg"),
        (b'name="files"; filename="a.jpg"', "a.jpg"),
        (b'form-data; name="files"; filename="a.jpg"; size=5; x', "a.jpg"),
    ],
)
async def test_a_file_between_two_others(
    producer: RunningProducer, disposition: bytes, name: str
) -> None:
    middle = part(disposition, PNG, b"Content-Type: image/png")
    status, body = await post(producer, file(b"1.jpg") + middle + file(b"3.jpg") + end())

    assert (status, list(body)) == (202, ["task_id"])
    assert await taken(producer) == [("1.jpg", JPEG), (name, PNG), ("3.jpg", JPEG)]


UNREADABLE = {
    "no header": part(b"", JPEG).replace(b"Content-Disposition: ", b"Content-Type: image/jpeg"),
    "no headers at all": f"--{BOUNDARY}\r\n\r\n".encode() + JPEG + b"\r\n",
    "an empty header": part(b"", JPEG),
    "no field": part(b'form-data; filename="a.jpg"', JPEG),
    "an empty field": part(b'form-data; name=""; filename="a.jpg"', JPEG),
    "two fields": part(b'form-data; name="files"; name="x"; filename="a.jpg"', JPEG),
    "two headers": part(
        b'form-data; name="x"', JPEG, b'Content-Disposition: form-data; name="files"'
    ),
    "no semicolon": part(b'form-data name="files" filename="a.jpg"', JPEG),
    "another field": part(b'form-data; name="image"; filename="a.jpg"', JPEG),
    "a field in capitals": part(b'form-data; name="FILES"; filename="a.jpg"', JPEG),
    "a nested field": part(b'form-data; name="files[0][file]"; filename="a.jpg"', JPEG),
    "another field, empty": part(b'form-data; name="image"; filename="a.jpg"', b""),
    "another field, empty name": part(b'form-data; name="image"; filename=""', JPEG),
    "another field, no name": part(b'form-data; name="image"', JPEG),
    "another field, no name, HEIC": part(b'form-data; name="image"', HEIC),
    "another field, no name, a type": part(
        b'form-data; name="image"', b"?", b"Content-Type: image/x-portable-pixmap"
    ),
    "text": part(b'form-data; name="files"', b"a.jpg"),
    "no text": part(b'form-data; name="files"', b""),
    "text as files[]": part(b'form-data; name="files[]"', b"undefined"),
    "nested": part(
        b'form-data; name="files"', b"--C\r\n\r\nx\r\n--C--", b"Content-Type: multipart/mixed"
    ),
    "base64": file(b"a.jpg", b"/9j/4AAQ", b"Content-Transfer-Encoding: base64"),
    "base64 of anything": file(b"a.jpg", JPEG, b"content-transfer-encoding: BASE64 "),
    "quoted-printable": file(b"a.jpg", JPEG, b"Content-Transfer-Encoding: Quoted-Printable"),
    "a header without a colon": file(b"a.jpg", JPEG, b"Content-Type image/jpeg"),
    "too many headers": file(b"a.jpg", JPEG, *[b"A: b"] * 200),
}


@pytest.mark.parametrize("middle", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_read_refuses_all(producer: RunningProducer, middle: bytes) -> None:
    for place in range(3):
        parts = [file(b"1.jpg"), file(b"2.jpg")]
        parts.insert(place, middle)
        status, body = await post(producer, b"".join(parts) + end())
        assert (status, body["type"]) == (400, "urn:plate-detect:malformed-request"), place
        assert await nothing_left(producer)


async def test_text_fields_are_named_in_the_answer(producer: RunningProducer) -> None:
    texts = (
        part(b'form-data; name="comment"', b"x" * 100_000)
        + part(b'form-data; name="meta"', b'{"a": 1}', b"Content-Type: application/json")
        + file(b"a.jpg")
        + part(b'form-data; name="comment"', b"BMW X5, and again")
        + part(b"form-data; name=" + b"n" * 300, b"<html>")
        + part(b'form-data; name="a\tb"', b"")
        + part(b'form-data; name="avatar"; filename=""', b"")
    )
    status, body = await post(producer, texts + end())

    assert status == 202
    assert body["ignored_fields"] == [
        "comment",
        "meta",
        "n" * 99 + "…",
        "a�b",
        "avatar",
    ]
    assert await taken(producer) == [("a.jpg", JPEG)]


async def test_a_repeat_names_its_own_fields(producer: RunningProducer) -> None:
    key = {"Idempotency-Key": "k", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    answers = [
        await producer.call("POST", UPLOAD, data=body + end(), headers=key)
        for body in (file(b"a.jpg"), file(b"a.jpg") + part(b'form-data; name="note"', b"1"))
    ]
    assert [status for status, _ in answers] == [202, 202]
    assert answers[1][1] == answers[0][1] | {"ignored_fields": ["note"]}


@pytest.mark.parametrize("charset", [b"utf-8", b"windows-1251", b"u" * 99])
async def test_a_charset_field_is_a_text_field(producer: RunningProducer, charset: bytes) -> None:
    """Browsers fill it in, and forms have it first."""
    fields = part(b'form-data; name="_charset_"', charset) + file(b"a.jpg") + end()
    status, body = await post(producer, fields)
    assert (status, body["ignored_fields"]) == (202, ["_charset_"])
    assert await taken(producer) == [("a.jpg", JPEG)]


async def test_a_file_field_left_empty_is_no_file(producer: RunningProducer) -> None:
    empty = part(
        b'form-data; name="files"; filename=""', b"", b"Content-Type: application/octet-stream"
    )
    status, body = await post(producer, empty + end())
    assert (status, body["type"]) == (400, "urn:plate-detect:no-files")
    status, body = await post(producer, empty + file(b"a.jpg") + empty + end())
    assert (status, list(body)) == (202, ["task_id"])
    assert await taken(producer) == [("a.jpg", JPEG)]


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Transfer-Encoding: binary",
        b"Content-Transfer-Encoding: 8bit",
        b"Content-Encoding: gzip",
        b"Content-Length: 5",
        b"Content-Type: text/plain",
    ],
)
async def test_headers_that_change_nothing(producer: RunningProducer, header: bytes) -> None:
    assert (await post(producer, file(b"a.jpg", JPEG, header) + end()))[0] == 202
    assert await taken(producer) == [("a.jpg", JPEG)]
