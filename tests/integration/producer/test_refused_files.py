"""One bad file refuses the whole request: the response names it, and its format."""

import pytest

from tests.integration.producer.conftest import JPEG, RunningProducer
from tests.integration.producer.forms import HEIC, end, file, nothing_left, part, post


@pytest.mark.parametrize(
    ("middle", "status", "detail"),
    [
        (file(b"C:\\IMG 7.HEIC", HEIC), 415,
         "File 2 (“IMG 7.HEIC”) is HEIC; only JPEG, PNG and WebP images are accepted."),
        (file(b"a.jpg", b"GIF89a" + b"g" * 99), 415,
         "File 2 (“a.jpg”) is GIF; only JPEG, PNG and WebP images are accepted."),
        (file(b"a.jpg", b"?"), 415,
         "File 2 (“a.jpg”) is of an unknown format; only JPEG, PNG and WebP images are accepted."),
        (file(b"a.jpg", b""), 415,
         "File 2 (“a.jpg”) is empty; only JPEG, PNG and WebP images are accepted."),
        (file(b"", HEIC), 415, "File 2 is HEIC; only JPEG, PNG and WebP images are accepted."),
        (part(b'form-data; name="files"', HEIC), 415,
         "File 2 is HEIC; only JPEG, PNG and WebP images are accepted."),
        (file(b"big.jpg", JPEG + bytes(20 << 20)), 413,
         "File 2 (“big.jpg”) has more than 20971520 bytes."),
        (file(b"a.jpg", JPEG, b"Content-Transfer-Encoding: base64"), 400,
         "File 2 (“a.jpg”) has the Content-Transfer-Encoding base64; send its bytes as they are."),
        (part(b'form-data; name="im\tage"; filename="/x/a.jpg"', JPEG), 400,
         ("Part 2 (“a.jpg”) of the form is a file in the field “im�age”; send files in "
          "the field “files”.")),
        (part(b'form-data; name="files"', b"text"), 400,
         "Part 2 of the form is text in the field “files”, not a file."),
        (part(b'form-data; filename="a.jpg"', JPEG), 400,
         ("Part 2 of the form has no Content-Disposition with one field name; a file has: "
          'form-data; name="files"; filename="…"')),
        (file(b"a.jpg", b"", b"Content-Type: multipart/mixed; boundary=C"), 400,
         "Part 2 (“a.jpg”) of the form is itself multipart."),
        (file(b"a.jpg").replace(b"\r\n\r\n", b"\r\n"), 400,
         "The body is not well-formed multipart: reading stopped at part 2."),
    ],
)  # fmt: skip
async def test_a_refusal_names_the_file(
    producer: RunningProducer, middle: bytes, status: int, detail: str
) -> None:
    answer = await post(producer, file(b"1.jpg") + middle + file(b"3.jpg") + end())
    assert (answer[0], answer[1]["detail"]) == (status, detail)
    assert await nothing_left(producer)


async def test_a_refusal_logs_no_file_name(
    producer: RunningProducer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (await post(producer, file(b"SECRET.heic", HEIC) + end()))[0] == 415
    assert (await post(producer, part(b'form-data; name="x"; filename="SECRET"', JPEG)))[0] == 400
    captured = capsys.readouterr()
    assert "SECRET" not in captured.out + captured.err
