"""The form that an upload sends."""

from pathlib import Path

import pytest

from plate_detect_client.files import FileInput, Form, source_files


async def test_a_form_has_the_length_that_it_announces(tmp_path: Path) -> None:
    path = tmp_path / "от диска.jpg"
    path.write_bytes(bytes(200_000))
    form = Form(source_files([path, ('a"b\r\n.png', b"two"), ("as.webp", str(path))]))
    body = b"".join(form)
    assert form.headers["Content-Length"] == str(len(body))
    assert b"".join([chunk async for chunk in form.stream()]) == body
    assert 'filename="от диска.jpg"\r\nContent-Type: image/jpeg'.encode() in body
    assert b'filename="a%22b%0D%0A.png"\r\nContent-Type: image/png' in body
    assert b'filename="as.webp"' in body


@pytest.mark.parametrize("size", [0, 3, 5, 200_000])
def test_a_file_that_changes_while_it_is_sent_fails(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"four")
    form = Form(source_files([path]))
    path.write_bytes(bytes(size))
    with pytest.raises(OSError, match="changed while it was sent") as failed:
        list(form)
    assert failed.value.filename == str(path)


@pytest.mark.parametrize("files", ["a.jpg", Path("a.jpg"), b"bytes"])
def test_one_path_is_no_list_of_files(files: list[FileInput]) -> None:
    with pytest.raises(TypeError):
        source_files(files)


def test_a_missing_file_and_no_files_fail_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        source_files([tmp_path / "none.jpg"])
    with pytest.raises(ValueError, match="no files"):
        source_files([])


def test_a_name_that_is_not_unicode_is_sent_readable() -> None:
    [file] = source_files([("a\udcff.jpg", b"x")])
    assert file.name == "a?.jpg"
    assert b"a?.jpg" in b"".join(Form([file]))
