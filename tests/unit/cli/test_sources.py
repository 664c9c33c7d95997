"""Which files of folders are images, and where their results belong."""

import os
from pathlib import Path, PurePath

import pytest

from cli.images.sources import Found, find_sources, is_inside

JPEG = b"\xff\xd8\xff\xe0 and so on"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos in a tree, beside other files."""
    for name, content in {
        "b.jpg": JPEG, "deep/er/a.png": JPEG, "no-suffix": JPEG, "phone.HEIC": HEIC,
        "notes.txt": b"text", ".hidden.jpg": JPEG, ".thumbnails/t.jpg": JPEG, "empty.jpeg": b"",
    }.items():  # fmt: skip
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "photos"


def faults(found: Found) -> dict[str, str | None]:
    return {
        str(source.place): source.fault and f"{source.fault.code}: {source.fault.detail}"
        for source in found.sources
    }


def test_the_content_decides_and_a_name_of_an_image_is_never_skipped(folder: Path) -> None:
    found = find_sources([folder])
    accepted = "accepted are JPEG, PNG and WebP"
    assert faults(found) == {
        "b.jpg": None, "no-suffix": None, "deep/er/a.png": None,
        "empty.jpeg": f"unsupported_format: it is empty; {accepted}",
        "phone.HEIC": f"unsupported_format: it is HEIC; {accepted}",
    }  # fmt: skip
    assert found.ignored == 1


def test_several_arguments_keep_the_names_of_folders(folder: Path) -> None:
    found = find_sources([folder / "deep", folder / "b.jpg"])
    assert [source.place for source in found.sources] == [
        PurePath("deep/er/a.png"), PurePath("b.jpg"),
    ]  # fmt: skip


def test_a_file_that_is_reached_twice_is_one_image(folder: Path) -> None:
    (folder / "link.jpg").symlink_to(folder / "b.jpg")
    found = find_sources([folder, folder / "b.jpg", folder])
    assert len(found.sources) == 5
    assert len({source.path for source in found.sources}) == 5


def test_a_named_file_is_never_skipped(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    found = find_sources([folder / "notes.txt", folder / "missing.jpg", folder / "pipe"])
    assert [fault and fault.partition(":")[0] for fault in faults(found).values()] == [
        "unsupported_format", "cannot_read", "cannot_read",
    ]  # fmt: skip


def test_a_pipe_in_a_folder_is_no_image(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    assert "pipe.jpg" not in faults(find_sources([folder]))


@pytest.mark.parametrize("name", ["", "deep", "new/deeper"])
def test_results_inside_of_the_images_are_noticed(name: str, folder: Path) -> None:
    assert is_inside(folder / name, [folder / "b.jpg", folder]) == folder


def test_results_elsewhere_are_fine(folder: Path) -> None:
    assert is_inside(folder.parent, [folder]) is None
    assert is_inside(folder, [folder / "b.jpg"]) is None
    assert is_inside(folder.with_name("photos2"), [folder]) is None


def test_a_link_to_the_images_is_noticed(folder: Path) -> None:
    link = folder.parent / "elsewhere"
    link.symlink_to(folder / "deep")
    assert is_inside(link / "out", [folder]) == folder
