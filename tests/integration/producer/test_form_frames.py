"""Boundaries, well-formed and not: no file between them, before or after them is lost."""

import random

import pytest

from tests.integration.producer.conftest import JPEG, UPLOAD, RunningProducer
from tests.integration.producer.forms import BOUNDARY, end, file, nothing_left, part, post, taken


@pytest.mark.parametrize(
    "embedded",
    [
        b"x" + file(b"2.jpg"),
        file(b"2.jpg"),
        b"\n" + file(b"2.jpg"),
        b"\n" + file(b"2.jpg").replace(b"\r\n", b"\n"),
        b"\r" + file(b"2.jpg"),
        b"x" + file(b"2.jpg").replace(b"Content-D", b"X-Y: z\r\nContent-D"),
        b"x" + file(b"2.jpg").replace(b"\r\nContent-D", b" \t \r\nContent-D"),
    ],
)
async def test_a_boundary_without_a_line_break_before_it(
    producer: RunningProducer, embedded: bytes
) -> None:
    """Strictly read, what follows would be content of the file before it."""
    before = file(b"1.jpg").removesuffix(b"\r\n")
    status, _ = await post(producer, before + embedded + file(b"3.jpg") + end())
    assert status == 400
    assert await nothing_left(producer)


@pytest.mark.parametrize(
    "body",
    [
        file(b"1.jpg") + end() + file(b"2.jpg") + end(),
        file(b"1.jpg") + end() + b"x" + file(b"2.jpg") + end(),
        file(b"1.jpg")[len(BOUNDARY) + 2 :] + file(b"2.jpg") + end(),
        b"x" + file(b"1.jpg") + file(b"2.jpg") + end(),
        file(b"1.jpg") + end().rstrip() + b"\n" + file(b"2.jpg"),
        end() + file(b"1.jpg") + end(),
        file(b"1.jpg") + end() + b"x" * 70_000 + b"\r\n" + file(b"2.jpg"),
        file(b"1.jpg").replace(BOUNDARY.encode(), b"C" * 9) + file(b"2.jpg") + end(),
        file(b"1.jpg")
        + file(b"2.jpg").replace(BOUNDARY.encode(), b"C" * 9).replace(b"Content-D", b"CONTENT-D")
        .replace(b"isposition", b"ISPOSITION")
        + end(),
        file(b"1.jpg"),
        file(b"1.jpg") + end()[:-4],
        file(b"1.jpg") + file(b"2.jpg")[:60],
        file(b"1.jpg") + end().replace(b"--\r\n", b"-\r\n"),
        file(b"1.jpg").removesuffix(b"\r\n") + end(),
        (file(b"1.jpg") + end()).replace(b"\r\n", b"\n"),
    ],
    ids=[
        "a part behind the end", "behind the end, no line break", "no boundary first",
        "no line break first",
        "a part behind the end, line feed", "the end first",
        "a part far behind the end", "another boundary first",
        "another boundary, header in capitals", "no end", "half an end",
        "the end within a header", "a dash too few", "no line break before the end", "line feeds",
    ],
)  # fmt: skip
async def test_broken_frames(producer: RunningProducer, body: bytes) -> None:
    status, problem = await post(producer, body)
    assert (status, problem["type"]) == (400, "urn:plate-detect:malformed-request")
    assert await nothing_left(producer)


@pytest.mark.parametrize(
    ("boundary", "content_type"),
    [
        ("B", "multipart/form-data; boundary=B"),
        ("a b", 'multipart/form-data; boundary="a b"'),
        ("a;b", 'multipart/form-data; boundary="a;b"; charset=utf-8'),
        ("'()+_,-./:=?0", 'multipart/form-data; boundary="\'()+_,-./:=?0"'),
        ("a=b", "multipart/form-data; boundary=a=b"),
        ("--", "multipart/form-data; boundary=--"),
        ("b" * 70, "Multipart/Form-Data; Boundary=" + "b" * 70),
        ("1a2b-3c", 'multipart/form-data; charset=utf-8; boundary="1a2b-3c"'),
    ],
)
async def test_boundaries(producer: RunningProducer, boundary: str, content_type: str) -> None:
    files = [
        part(b'form-data; name="files"; filename="%d.jpg"' % n, JPEG, boundary=boundary)
        for n in range(2)
    ]
    status, _ = await post(producer, b"".join(files) + end(boundary), content_type)
    assert status == 202
    assert await taken(producer) == [("0.jpg", JPEG), ("1.jpg", JPEG)]


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        "; boundary",
        "; boundary=",
        '; boundary=""',
        "; boundary=" + "b" * 71,
        "; boundary=б",
        "; boundary=B\udcff",
        "; boundary*=utf-8''B",
        "; boundary*=idna''B",
        "; boundary*=unicode_escape''%5c",
        "; x=\u00e9\udce9; boundary*0=B",
        ";;;===",
    ],
)
async def test_no_usable_boundary(producer: RunningProducer, parameters: str) -> None:
    head = f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n"
    kind = f"Content-Type: multipart/form-data{parameters}\r\n\r\n--B--"
    answer = await producer.raw((head + kind).encode(errors="surrogateescape"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"urn:plate-detect:malformed-request" in answer


async def test_content_that_looks_like_a_boundary_stays_content(producer: RunningProducer) -> None:
    near = BOUNDARY.encode()[:-1]
    content = JPEG + b"\r\n--" + near + b"\r\n--\r\n" + BOUNDARY.encode() + b"--\n--B\r\nA: b"
    assert (await post(producer, file(b"a.jpg", content) + end()))[0] == 202
    assert await taken(producer) == [("a.jpg", content)]


async def test_a_part_after_another_boundary(producer: RunningProducer) -> None:
    """By the form's own boundary it would be content of the file before it."""
    other = file(b"2.jpg").replace(BOUNDARY.encode(), b"another")
    status, _ = await post(producer, file(b"1.jpg") + other + file(b"3.jpg") + end())
    assert status == 400
    assert await nothing_left(producer)


async def test_a_damaged_byte_costs_no_image(producer: RunningProducer) -> None:
    """One byte outside the images is wrong: all images are taken, or the request is refused."""
    chance = random.Random(17)
    images = [JPEG + b"%d" % number for number in range(3)]
    refused = 0
    for _ in range(100):
        heads = [bytearray(file(b"%d.jpg" % number, b"")[:-2]) for number in range(3)]
        heads.append(bytearray(end()))
        damaged = chance.choice(heads)
        place = chance.randrange(len(damaged))
        new = bytes([chance.choice([*b'\r\n"\\-;:=% x\0', chance.randrange(256)])])
        damaged[place : place + chance.randint(0, 1)] = chance.choice([b"", new])
        body = b"".join(
            bytes(head) + image + b"\r\n" for head, image in zip(heads, images, strict=False)
        ) + bytes(heads[-1])
        await producer.redis.delete(producer.keys.images)
        status, _ = await post(producer, body)
        assert status in (202, 400, 415), body
        refused += status != 202
        expected = images if status == 202 else []
        stored = [content[: len(JPEG) + 1] for _, content in await taken(producer)]
        assert stored == expected, body
    assert 30 < refused < 95


async def test_an_embedded_part_is_seen_across_chunks(producer: RunningProducer) -> None:
    """A body is read in pieces, and the boundary may lie across two of them."""
    for size in range(65_300, 65_560, 20):
        embedding = file(b"1.jpg", JPEG + b"j" * (size - len(JPEG))).removesuffix(b"\r\n")
        status, problem = await post(producer, embedding + file(b"2.jpg") + end())
        assert status == 400
        assert problem["detail"].endswith("a part is within the content of another.")
    assert await nothing_left(producer)
