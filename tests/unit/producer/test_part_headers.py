"""Content-Disposition headers as clients write them, well or badly."""

import email.policy
import time
from collections.abc import Callable
from email.header import Header
from email.message import Message
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.services.part_headers import parse_disposition
from schemas.contract.names import base_name

FORM = b'form-data; name="files"; '

HEADERS = {
    "curl, browsers": (b'filename="Car; red; front.jpg"', "Car; red; front.jpg"),
    "an escape of browsers": (b'filename="12%22%0D%0A.jpg"', '12"\r\n.jpg'),
    "other percent signs": (b'filename="a%20b%2f%0d.jpg"', "a%20b%2f%0d.jpg"),
    "an escape of Go": (b'filename="a\\"b\\\\c.jpg"', 'a"b\\c.jpg'),
    "an escape before a semicolon": (b'filename="a\\"; b.jpg"; x="y"', 'a"; b.jpg'),
    "a path of Windows": (b'filename="C:\\Users\\bob\\car.jpg"', "C:\\Users\\bob\\car.jpg"),
    "a folder of Windows": (b'filename="C:\\photos\\" ', "C:\\photos\\"),
    "an escaped quote at the end": (b'filename="a\\""', 'a"'),
    "an escaped backslash at the end": (b'filename="a\\\\"; x=y', "a\\"),
    "a share of Windows": (b'filename="\\\\nas\\new\\car.jpg"', "\\nas\\new\\car.jpg"),
    "quotes without an escape": (b'filename="my "best" car.jpg"', 'my "best" car.jpg'),
    "no closing quote": (b'filename="a; b.jpg', "a; b.jpg"),
    "a space, no quotes": (b"filename=my car.jpg", "my car.jpg"),
    "parentheses, no quotes": (b"filename=car(1).jpg ; x=y", "car(1).jpg"),
    "an equals sign, no quotes": (b"filename=a=b.jpg", "a=b.jpg"),
    "UTF-8, no quotes": ("filename=фото.jpg".encode(), "фото.jpg"),
    "UTF-8": ('filename="фото.jpg"'.encode(), "фото.jpg"),
    "Latin-1, no quotes": (b"filename=caf\xe9.jpg", "café.jpg"),
    "Latin-1": (b'filename="caf\xe9.jpg"', "café.jpg"),
    "capitals": (b'FileName="a.jpg"', "a.jpg"),
    "spaces": (b'filename = "a.jpg" ; ', "a.jpg"),
    "tabs of folded lines": (b'\tfilename="a\t b.jpg"', "a\t b.jpg"),
    "no file": (b"", None),
    "no value": (b"filename", None),
    "an empty name": (b'filename=""', ""),
    "an empty name, no quotes": (b"filename=;", ""),
    "a control character": (b'filename="a\x01.jpg"', "a\x01.jpg"),
    "two names": (b'filename="a.jpg"; filename="b.jpg"', "a.jpg"),
    ".NET": (b"filename=car.jpg; filename*=utf-8''%D1%84.jpg", "ф.jpg"),
    ".NET, an encoded word": (b'filename="=?utf-8?B?0YQ=?="; filename*=utf-8\'\'%D1%84', "ф"),
    "extended first": (b"filename*=UTF-8''%D1%84.jpg; filename=car.jpg", "ф.jpg"),
    "extended with a language": (b"filename*=utf-8'ru'%D1%84.jpg", "ф.jpg"),
    "extended in quotes": (b"filename*=\"utf-8''%D1%84.jpg\"", "ф.jpg"),
    "extended, Latin-1": (b"filename*=ISO-8859-1''caf%E9.jpg", "café.jpg"),
    "extended, Cyrillic": (b"filename*=windows-1251''%F4.jpg", "ф.jpg"),
    "extended, not its charset": (b"filename*=utf-8''%ff.jpg; filename=a.jpg", "a.jpg"),
    "extended, unknown charset": (b"filename*=utf-9''%ff.jpg; filename=a.jpg", "a.jpg"),
    "extended, no charset at all": (b"filename*=''a.jpg; filename=b.jpg", "b.jpg"),
    "extended, a codec of Python": (b"filename*=unicode_escape''%5cud800; filename=a", "a"),
    "extended, ISO 8859-99": (b"filename*=iso-8859-99''a; filename=b.jpg", "b.jpg"),
    "extended, without quotes": (b"filename*=a.jpg", "a.jpg"),
    "extended, broken and alone": (b"filename*=utf-8''%ff.jpg", "utf-8''%ff.jpg"),
    "extended, empty": (b"filename*=utf-8''; filename=a.jpg", "a.jpg"),
    "continued": (b'filename*0="Car; "; filename*1="red.jpg"', "Car; red.jpg"),
    "continued, in another order": (b"filename*1=b.jpg; filename*0=a", "ab.jpg"),
    "continued, encoded": (b"filename*0*=utf-8''%D1; filename*1*=%84; filename*2=.jpg", "ф.jpg"),
    "continued, with a gap": (b"filename*0=a; filename*2=c; filename=b.jpg", "a"),
    "continued from 1 on": (b"filename*1=a; filename=b.jpg", "b.jpg"),
    "Spring": (b'filename="=?UTF-8?B?0YTQvtGC0L4uanBn?="', "фото.jpg"),
    "Spring, two words": (b'filename="=?UTF-8?Q?=D1=84_?= =?UTF-8?Q?a.jpg?="', "ф a.jpg"),
    "no encoded word": (b'filename="=?UTF-8?B?not base64?=.jpg"', "=?UTF-8?B?not base64?=.jpg"),
    "a broken encoded word": (b'filename="=?UTF-8?B?A?="', "=?UTF-8?B?A?="),
    "an encoded word, not UTF-8": (b'filename="=?UTF-8?Q?=FF?="', "=?UTF-8?Q?=FF?="),
}  # fmt: skip


@pytest.mark.parametrize(("header", "filename"), HEADERS.values(), ids=HEADERS)
def test_file_names(header: bytes, filename: str | None) -> None:
    assert parse_disposition(FORM + header) == ("files", filename)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"form-data; name=files", "files"),
        (b'form-data;name="files"', "files"),
        (b"form-data; NAME=files", "files"),
        (b'form-data; filename="a.jpg"; name="files"', "files"),
        (b'form-data; filename="a; name=x.jpg"; name="files"', "files"),
        (b'form-data; name="files[]"', "files[]"),
        (b"form-data; name*=utf-8''files", "files"),
        (b'name="files"', "files"),
        (b'attachment; name="files"', "files"),
        (b'form-data; ; garbage; name="files"; x', "files"),
        (b'form-data; name="files"; name="files"', "files"),
        (b'form-data; name="files"; name="other"', None),
        (b'form-data; name="other"; NAME=files', None),
        (b'form-data; name=""', None),
        (b"form-data; name=", None),
        (b'form-data; filename="a.jpg"', None),
        (b"form-data", None),
        (b'form-data name="files"', None),
        (b"", None),
    ],
)
def test_field_names(header: bytes, name: str | None) -> None:
    assert parse_disposition(header)[0] == name


def _browser(name: str) -> bytes:
    """WHATWG's form-data: browsers, undici, curl, urllib3, OkHttp."""
    escaped = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    return f'form-data; name="files"; filename="{escaped}"'.encode()


def _rfc_9110(name: str) -> bytes:
    """Go's mime/multipart, Ruby's Net::HTTP, aiohttp without quote_fields, older curl, PHP."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'form-data; name="files"; filename="{escaped}"'.encode()


def _extended(name: str) -> bytes:
    """Older requests, reqwest."""
    return f"form-data; name=\"files\"; filename*=utf-8''{quote(name, safe='')}".encode()


def _dotnet(name: str) -> bytes:
    """MultipartFormDataContent: both forms, the plain one an encoded word where it has to be."""
    plain = name if name.isascii() and name.isalnum() else f'"{Header(name, "utf-8").encode()}"'
    extended = quote(name, safe="")
    return f"form-data; name=files; filename={plain}; filename*=utf-8''{extended}".encode()


def _spring(name: str) -> bytes:
    word = Header(name, "utf-8", maxlinelen=100_000).encode()
    return f'form-data; name="files"; filename="{word}"'.encode()


def _email(name: str) -> bytes:
    """Python's email: RFC 2231, in several parameters if it is long."""
    part = Message(email.policy.SMTP)
    part.add_header("Content-Disposition", "form-data", name="files", filename=name)
    _, _, header = part.as_bytes().partition(b":")
    return header.replace(b"\r\n", b"").strip()


CLIENTS = {
    "browser": _browser, "rfc 9110": _rfc_9110, "extended": _extended, "dotnet": _dotnet,
    "spring": _spring,
}  # fmt: skip
# A client does not tell its own escapes from the same characters in a name.
_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80).filter(
    lambda name: not any(escape in name for escape in ("%22", "%0D", "%0A", "=?", '\\"'))
)


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
@settings(deadline=None)
@given(name=_NAMES.filter(lambda name: name == name.strip()))
def test_names_survive_the_way(client: Callable[[str], bytes], name: str) -> None:
    field, filename = parse_disposition(client(name))
    assert field == "files"
    assert filename is not None
    assert base_name(filename) == base_name(name)


@pytest.mark.parametrize("name", ["a.jpg", "Car; red.jpg", "фото.jpg", "фото" * 40, "a b " * 60])
def test_names_of_pythons_email_survive(name: str) -> None:
    field, filename = parse_disposition(_email(name))
    assert field == "files"
    assert (filename or "").split() == name.split()


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text("\";\\=*?%'name filename", max_size=80).map(str.encode))
def test_nothing_raises(header: bytes) -> None:
    for tried in (header, FORM + header, b"form-data; filename*=" + header):
        field, filename = parse_disposition(tried)
        (field or "").encode()
        (filename or "").encode()  # no lone surrogates: these could not be answered


@pytest.mark.parametrize(
    "piece",
    [b'a="', b'";', b'" ', b"; ", b";a", b"a", b" ", b"\\", b'=?u?q?', b"=?u?q??= ", b"%", b"''",
     b'filename="=?utf-8?b??= ', b"filename*0=a;"],
)  # fmt: skip
def test_hostile_headers_are_read_in_time(piece: bytes) -> None:
    longest = 8190
    for start in (b"", FORM + b'filename="', b"form-data; name="):
        started = time.process_time()
        parse_disposition((start + piece * longest)[:longest])
        assert time.process_time() - started < 0.5  # seconds; some milliseconds if it is linear
