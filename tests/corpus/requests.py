"""Requests that are malformed, oversized, slow, or cut off."""

import base64
import gzip
from collections.abc import Iterator
from functools import cache

from tests.corpus.cases import MAX_FILE_BYTES, RequestCase
from tests.unit.vision.pictures import encoded, quarters

IMAGE = encoded(quarters(), "JPEG")
MAX_REQUEST_MB = 8

FORM = b"multipart/form-data; boundary=B"


def part(disposition: bytes, content: bytes, *headers: bytes) -> bytes:
    """Return one part of a form with the boundary B."""
    head = b"\r\n".join((b"Content-Disposition: " + disposition, *headers))
    return b"--B\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def quoted(name: str) -> bytes:
    """Return a name as it is written between quotes."""
    return name.replace("\\", "\\\\").replace('"', '\\"').encode()


def file(content: bytes = IMAGE, name: bytes = b"a.jpg", *headers: bytes) -> bytes:
    """Return a file field."""
    return part(b'form-data; name="files"; filename="' + name + b'"', content, *headers)


END = b"--B--\r\n"
NOTE = part(b'form-data; name="note"', b"1")
GOOD = file() + END


def post(
    body: bytes,
    *headers: bytes,
    content_type: bytes | None = FORM,
    length: int | bytes | None = -1,
    path: bytes = b"/api/v1/process-task/",
) -> bytes:
    """Return the bytes of an upload. ``length``: -1 is the true length, None sends none."""
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers]
    if content_type is not None:
        lines.append(b"Content-Type: " + content_type)
    if length is not None:
        said = b"%d" % len(body) if length == -1 else length
        lines.append(b"Content-Length: " + (said if isinstance(said, bytes) else b"%d" % said))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """Return an upload without a length, in these chunks."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    body += b"0\r\n\r\n" if end else b""
    return post(body, b"Transfer-Encoding: chunked", length=None)


@cache
def request_cases() -> tuple[RequestCase, ...]:
    """Return all cases, each with a unique name."""
    made = (*forms(), *boundaries(), *wholes(), *lengths(), *chunks(), *slow(), *broken_http(),
            *contents(), *elsewhere())  # fmt: skip
    assert len({case.name for case in made}) == len(made)
    return made


def forms() -> Iterator[RequestCase]:
    """Bodies that are not a form, or a form without files."""
    text = part(b'form-data; name="files"', b"text")
    inner = b"--C\r\n\r\nx\r\n--C--"
    encoded = b"Content-Transfer-Encoding: base64"
    bodies = {
        "empty body": b"", "plain text": b"no boundary at all", "blank lines": b"\r\n" * 5000,
        "one endless line": b"x" * 300_000, "a body of zeros": bytes(100_000),
        "an image alone": IMAGE,
        "a part's head alone": file()[:40], "a file without an end": file(),
        "a head without a blank line": file().replace(b"\r\n\r\n", b"\r\n"),
        "1000 part headers": b"--B\r\n" + b"A: b\r\n" * 1000 + b"\r\nx\r\n" + END,
        "a part header of 20 kB": b"--B\r\nA: " + b"b" * 20_000 + b"\r\n\r\nx\r\n" + END,
        "control characters in a header": b"--B\r\n\x00\xff: b\r\n\r\nx\r\n" + END,
        "text instead of a file": text + END, "text after a file": file() + text + END,
        "a nested form": part(b"form-data", inner, b"Content-Type: multipart/mixed; boundary=C"),
        "10000 fields": NOTE * 10_000 + GOOD,
        "a false boundary at the end": file() + b"--C--\r\n",
        "bare line feeds": GOOD.replace(b"\r\n", b"\n"),
        "another field": part(b'form-data; name="images"; filename="a.jpg"', IMAGE) + END,
        "another file before the file": part(b'form-data; name="x"; filename="b"', IMAGE) + GOOD,
        "another file without a name": GOOD[:-5] + part(b'form-data; name="x"', IMAGE) + END,
        "a file without a field": part(b'form-data; filename="a.jpg"', IMAGE) + END,
        "a part without disposition": b"--B\r\n\r\n" + IMAGE + b"\r\n" + END,
        "a field name in capitals": GOOD.replace(b'"files"', b'"FILES"'),
        "a field with two names": part(b'form-data; name="files"; name="x"', IMAGE) + END,
        "a file behind the end": GOOD + GOOD, "a file before the start": b"x" + file() + GOOD,
        "a file without a line before it": file()[:-2] + GOOD,
        "a JPEG as base64": file(base64.b64encode(IMAGE), b"a", encoded) + END,
        "a JPEG that falsely says base64": file(IMAGE, b"a", encoded) + END,
    }  # fmt: skip
    for name, body in bodies.items():
        yield RequestCase(name, post(body), 400, "malformed-request")
    unfilled = part(b'form-data; name="files"; filename=""', b"")
    for name, body in {
        "an empty form": END,
        "other fields alone": NOTE * 3 + END,
        "a file field left empty": unfilled + END,
    }.items():
        yield RequestCase(name, post(body), 400, "no-files")


def boundaries() -> Iterator[RequestCase]:
    """A Content-Type that does not match the body."""
    types = {
        "no Content-Type": None, "JSON": b"application/json", "an image's": b"image/jpeg",
        "a simple form's": b"application/x-www-form-urlencoded",
        "multipart/mixed": b"multipart/mixed; boundary=B", "text": b"text/plain; boundary=B",
        "no boundary": b"multipart/form-data", "empty boundary": b"multipart/form-data; boundary=",
        "boundary of 71": b"multipart/form-data; boundary=" + b"b" * 71,
        "another boundary": b"multipart/form-data; boundary=C",
        "two dashes too many": b"multipart/form-data; boundary=--B",
        "non-ASCII boundary": b"multipart/form-data; boundary=\xd0\xb1",
        "garbage": b"multipart/form-data;;;===", "a slash alone": b"/",
    }  # fmt: skip
    for name, kind in types.items():
        sent = post(GOOD, content_type=kind)
        yield RequestCase(f"Content-Type: {name}", sent, 400, "malformed-request")


def wholes() -> Iterator[RequestCase]:
    """Requests above a limit, and headers that refuse the request."""
    yield RequestCase("10000 files", post(file() * 10_000 + END), 413, "request-too-large")
    yield RequestCase("51 files", post(file() * 51 + END), 413, "too-many-files")
    yield RequestCase("1500 tiny files", post(file(IMAGE[:9]) * 1500 + END), 413, "too-many-files")
    large = IMAGE + bytes(MAX_FILE_BYTES)
    yield RequestCase("a file too large", post(file(large) + END), 413, "file-too-large")
    huge = post(GOOD, length=9_999_999_999)
    yield RequestCase("a length too large", huge, 413, "request-too-large")
    flood = chunked(*[part(b'form-data; name="x"', bytes(1 << 20)) for _ in range(9)], END)
    yield RequestCase("chunks too large", flood, 413, "request-too-large")
    for coding in (b"gzip", b"deflate", b"br", b"x-unknown"):
        sent = post(gzip.compress(GOOD), b"Content-Encoding: " + coding)
        yield RequestCase(f"Content-Encoding: {coding.decode()}", sent, 415, "unsupported-type")
    for name, key in {
        "empty": b"", "of 256": b"k" * 256, "with a space": b"a b", "not ASCII": b"\xd0\xb1",
    }.items():  # fmt: skip
        sent = post(GOOD, b"Idempotency-Key: " + key)
        yield RequestCase(f"Idempotency-Key {name}", sent, 400, "malformed-request")
    twice = post(GOOD, b"Idempotency-Key: a", b"Idempotency-Key: b")
    yield RequestCase("two Idempotency-Keys", twice, 400, "malformed-request")
    expecting = post(GOOD, b"Expect: a miracle")
    yield RequestCase("an unknown expectation", expecting, 417)


def lengths() -> Iterator[RequestCase]:
    """A Content-Length that is not the body's."""
    yield RequestCase("length too short", post(GOOD, length=len(GOOD) - 20), 400)
    yield RequestCase("length 0", post(GOOD, length=0), 400)
    yield RequestCase("no length at all", post(GOOD, length=None), 400)
    yield RequestCase("length too long, silent", post(GOOD[:-9], length=9999), 408, "slow-upload")
    for name, said in {
        "negative": b"-5", "not a number": b"ten", "hexadecimal": b"0x10", "signed": b"+10",
        "of 400 digits": b"9" * 400, "twice": b"5\r\nContent-Length: 6", "a list": b"5, 5",
    }.items():  # fmt: skip
        yield RequestCase(f"length {name}", post(GOOD, length=said), 400)
    both = post(GOOD, b"Transfer-Encoding: chunked")
    yield RequestCase("length and chunks", both, 400)


def chunks() -> Iterator[RequestCase]:
    """Chunked bodies with a wrong end or without an end."""
    yield RequestCase("chunks without an end", chunked(GOOD[:200], end=False), 408, "slow-upload")
    yield RequestCase("chunks that end too soon", chunked(GOOD[:200]), 400, "malformed-request")
    for name, body in {
        "no number": b"zz\r\nabc\r\n0\r\n\r\n", "a negative number": b"-1\r\nabc\r\n0\r\n\r\n",
        "a number too large": b"f" * 40 + b"\r\nabc\r\n0\r\n\r\n",
        "a wrong number": b"2\r\nabcdef\r\n0\r\n\r\n",
    }.items():  # fmt: skip
        sent = post(body, b"Transfer-Encoding: chunked", length=None)
        yield RequestCase(f"chunks with {name}", sent, 400)
    for coding in (b"gzip", b"chunked, chunked", b"identity, chunked;q=1"):
        sent = post(GOOD, b"Transfer-Encoding: " + coding, length=None)
        yield RequestCase(f"Transfer-Encoding: {coding.decode()}", sent, 400)


def slow() -> Iterator[RequestCase]:
    """Slow clients."""
    yield RequestCase("silence after the head", post(b"", length=500), 408, "slow-upload")
    yield RequestCase("silence in a file", post(file()[:300], length=9999), 408, "slow-upload")
    drip = post(file()[:-2], length=99_999)
    yield RequestCase("a dripping file", drip, 408, "slow-upload", drips=True)
    drip = post(b"--B\r\nA: ", length=99_999)
    yield RequestCase("a dripping part header", drip, 408, "slow-upload", drips=True)


def broken_http() -> Iterator[RequestCase]:
    """Bytes that are not valid HTTP."""
    line = b"GET /health HTTP/1.1\r\n"
    for name, sent in {
        "a huge header": line + b"A: " + b"b" * 100_000 + b"\r\n\r\n",
        "a huge path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        "5000 headers": line + b"A: b\r\n" * 5000 + b"\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
        "a header without a colon": line + b"Host x\r\n\r\n",
        "a header with NUL": line + b"A: b\x00c\r\n\r\n",
        "a folded header": line + b"A: b\r\n c\r\n\r\n",
        "a space before the colon": line + b"Host : x\r\n\r\n",
        "HTTP/9.9": b"GET /health HTTP/9.9\r\n\r\n", "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "Redis": b"*1\r\n$4\r\nPING\r\n\r\n", "a bad method": b"G@T / HTTP/1.1\r\n\r\n",
    }.items():  # fmt: skip
        yield RequestCase(name, sent, 400)


def contents() -> Iterator[RequestCase]:
    """Forms that are refused because of one file."""
    for name, content in {
        "a GIF": b"GIF89a" + bytes(99),
        "nothing": b"",
        "2 bytes": b"\xff\xd8",
    }.items():
        body = file() + file(content) + file() + END
        yield RequestCase(f"{name} between two images", post(body), 415, "unsupported-type")
    late = file() * 3 + NOTE + file(b"BM" + bytes(99)) + END
    yield RequestCase("a BMP after three images", post(late), 415, "unsupported-type")
    lie = file(b"GIF89a" + bytes(99), b"a.jpg", b"Content-Type: image/jpeg") + END
    yield RequestCase("a GIF that claims to be a JPEG", post(lie), 415, "unsupported-type")


def elsewhere() -> Iterator[RequestCase]:
    """Unknown paths, and paths that try to leave the folder of results."""
    head = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for path in (
        b"/tasks_storage/../../etc/passwd", b"/tasks_storage/%2e%2e/output/passwd",
        b"/tasks_storage/t/output/..%2f..%2finput%2f0", b"/tasks_storage/t/input/0",
        b"/tasks_storage/t/output/%00", b"/tasks_storage/t/output/%ff",
        b"/tasks_storage/t/output/", b"/tasks_storage/t/quarantine/1-0",
        b"/assets/../app.py", b"/assets/%2e%2e/app.py", b"/assets/..%2f..%2fpyproject.toml",
        b"/assets/%00", b"/api/v1/task-status/a%2fb", b"/api/v1/task-status/%ff%fe",
        b"/api/v1/task-status/" + b"x" * 65, b"/api/v1/task-status/%0a", b"/.env",
        b"/api/v1/task-events/*", b"//health",
    ):  # fmt: skip
        yield RequestCase(f"GET {path.decode()[:60]}", b"GET " + path + head, 404, "*")
    for method, path in ((b"PUT", b"/api/v1/process-task/"), (b"DELETE", b"/health"),
                         (b"POST", b"/tasks_storage/t/output/a.webp")):  # fmt: skip
        name = f"{method.decode()} {path.decode()}"
        yield RequestCase(name, method + b" " + path + head, 405, "about:blank")


@cache
def accepted_requests() -> tuple[RequestCase, ...]:
    """Unusual forms that are well-formed: each becomes a task of one image."""
    image = part(b'form-data; name="files"; filename="a.jpg"', IMAGE)
    charset = part(b'form-data; name="_charset_"', b"u" * 99)
    changed = part(b'form-data; filename="a.jpg"; name="files"', IMAGE)
    typed = part(b'form-data; name="files"; filename="a.jpg"', IMAGE, b"Content-Type: text/html")
    first = b"--B\r\nContent-Type: image/jpeg\r\n" + image[5:]
    quoted = b'multipart/form-data; charset=utf-8; boundary="B"'
    unquoted = part(b"form-data; name=files; filename=a.jpg", IMAGE)
    small = b"--B\r\ncontent-disposition" + image[24:]
    bodies = {
        "fields before the file": NOTE * 100 + image + END, "fields after it": image + NOTE + END,
        "a long _charset_ before it": charset + image + END,
        "parameters in another order": changed + END,
        "headers in another order": first + END, "a false type": typed + END,
        "a preamble": b"hello\r\n" + GOOD, "an epilogue": GOOD + b"bye\r\n" * 99,
        "no line end at the end": GOOD[:-2], "names without quotes": unquoted + END,
        "header names in small letters": small + END,
        "an unknown transfer encoding": file(IMAGE, b"a", b"Content-Transfer-Encoding: x") + END,
        "a part that falsely says gzip": file(IMAGE, b"a", b"Content-Encoding: gzip") + END,
        "an empty file field before it": part(b'form-data; name="files"; filename=""', b"") + GOOD,
    }  # fmt: skip
    made = [RequestCase(name, post(body), 202) for name, body in bodies.items()]
    made.append(RequestCase("a quoted boundary", post(GOOD, content_type=quoted), 202))
    one_by_one = [GOOD[place : place + 1] for place in range(len(GOOD))]
    made.append(RequestCase("chunks of one byte", chunked(*one_by_one), 202))
    capitals = post(GOOD, content_type=b"MULTIPART/FORM-DATA; BOUNDARY=B")
    made.append(RequestCase("a type in capitals", capitals, 202))
    without = post(GOOD, path=b"/api/v1/process-task")
    made.append(RequestCase("a path without its slash", without, 202))
    return tuple(made)
