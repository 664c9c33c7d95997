"""Names of results, and which of them are done."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from cli.images.results_folder import JOURNAL, FolderInUseError, ResultsFolder
from cli.images.sources import Fault, find_sources

JPEG = b"\xff\xd8\xff\xe0 "


class Places:
    """A folder of photos, and one of results."""

    def __init__(self, top: Path) -> None:
        self.photos, self.out = top / "photos", top / "out"

    def add(self, *names: str) -> None:
        """Write photos, each with a content of its own."""
        for name in names:
            path = self.photos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(JPEG + name.encode())

    def names(self, inputs: Iterable[Path] = ()) -> dict[str, str]:
        """Return the result's name of each photo, as one more run would give it."""
        with ResultsFolder.open(self.out, "same") as folder:
            assigned = folder.assign(find_sources(list(inputs) or [self.photos]).sources)
        return {
            os.path.relpath(path, self.photos): output.code
            if isinstance(output, Fault)
            else self.relative(output)
            for path, output in assigned.items()
        }

    def relative(self, output: Path) -> str:
        """Return a result's path in its folder."""
        return output.relative_to(self.out).as_posix()

    def run(self, made_with: str = "same", inputs: Iterable[Path] = ()) -> list[str]:
        """Do what is not done; return the names of these results."""
        made = []
        with ResultsFolder.open(self.out, made_with) as folder:
            sources = find_sources(list(inputs) or [self.photos]).sources
            for path, output in folder.assign(sources).items():
                assert isinstance(output, Path)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                if folder.done(output, digest) is None:
                    folder.write(output, b"covered " + path.read_bytes())
                    (source,) = (each for each in sources if each.path == path)
                    folder.note(source, output, digest, {"plates": 1})
                    made.append(self.relative(output))
        return made


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def test_names_do_not_clash(places: Places) -> None:
    places.add("a.jpg", "a.png", "A.jpeg", "deep/a.jpg", "b", "b.tar.jpg", "a.jpg.gif")
    assert places.names() == {
        "A.jpeg": "A.webp", "a.jpg": "a.jpg.webp", "a.jpg.gif": "a.jpg.gif.webp",
        "a.png": "a.png.webp", "b": "b.webp", "b.tar.jpg": "b.tar.webp",
        "deep/a.jpg": "deep/a.webp",
    }  # fmt: skip
    assert sorted(places.run()) == sorted(places.names().values())


def test_a_name_stays_when_images_are_added_or_deleted(places: Places) -> None:
    places.add("b.png")
    assert places.run() == ["b.webp"]
    places.add("b.jpg")
    assert places.names() == {"b.jpg": "b.jpg.webp", "b.png": "b.webp"}
    (places.photos / "b.png").unlink()
    places.add("b.jpeg")
    assert places.names() == {"b.jpg": "b.jpg.webp", "b.jpeg": "b.jpeg.webp"}


def test_only_what_has_changed_is_made_again(places: Places) -> None:
    places.add("a.jpg", "b.jpg", "c.jpg")
    assert places.run() == ["a.webp", "b.webp", "c.webp"]
    assert places.run() == []
    (places.photos / "a.jpg").write_bytes(JPEG + b"another")
    (places.out / "b.webp").unlink()
    (places.out / "c.webp").write_bytes(b"covered, then edited by a person")
    assert places.run() == ["a.webp", "b.webp"]
    assert places.run(made_with="another model") == ["a.webp", "b.webp", "c.webp"]


def test_moved_images_are_not_made_again(places: Places) -> None:
    places.add("a.jpg", "deep/b.jpg")
    places.run()
    places.photos = places.photos.rename(places.photos.with_name("archive"))
    assert places.run() == []


def test_another_image_does_not_take_the_name_of_a_deleted_one(places: Places) -> None:
    places.add("a.jpg")
    places.run()
    (places.photos / "a.jpg").unlink()
    places.add("a.png")
    assert places.run() == ["a.png.webp"]
    assert (places.out / "a.webp").read_bytes() == b"covered " + JPEG + b"a.jpg"


def test_files_of_another_origin_are_not_overwritten(places: Places) -> None:
    places.add("a.jpg", "b.jpg")
    places.out.mkdir()
    (places.out / "a.webp").write_bytes(b"precious")
    assert places.names() == {"a.jpg": "output_exists", "b.jpg": "b.webp"}


def test_an_input_is_never_a_result(places: Places) -> None:
    places.photos = places.out
    places.add("a.webp")
    assert places.names([places.out / "a.webp"]) == {"a.webp": "a.webp.webp"}


@pytest.mark.parametrize("name", ["x" * 250 + ".jpg", "ы" * 124 + ".jpg", "line\nbreak.jpg"])
def test_unusual_names(name: str, places: Places) -> None:
    places.add(name)
    (output,) = places.run()
    assert (places.out / output).is_file()
    assert places.run() == []


def test_a_name_that_is_no_text(places: Places) -> None:
    places.add("a.jpg")
    (places.photos / "a.jpg").rename(places.photos / "\udcff.jpg")
    assert places.run() == ["\udcff.webp"]
    assert places.run() == []


@pytest.mark.parametrize("rest", [b'{"output":"b.we', b"\xff\xff\n", b"[]\n", b'{"new":1}\n'])
def test_a_damaged_line_of_the_journal_is_passed_over(rest: bytes, places: Places) -> None:
    places.add("a.jpg")
    places.run()
    with (places.out / JOURNAL).open("ab") as journal:
        journal.write(rest)
    places.add("b.jpg")
    assert places.run() == ["b.webp"]
    assert places.run() == []


def test_two_commands_do_not_share_a_folder(places: Places) -> None:
    with (
        ResultsFolder.open(places.out, "x"),
        pytest.raises(FolderInUseError, match="another command writes to"),
        ResultsFolder.open(places.out, "x"),
    ):
        pass


def test_a_failed_write_leaves_nothing(places: Places) -> None:
    (places.out / "a.webp").mkdir(parents=True)
    with ResultsFolder.open(places.out, "x") as folder, pytest.raises(IsADirectoryError):
        folder.write(places.out / "a.webp", b"covered")
    assert {path.name for path in places.out.iterdir()} == {JOURNAL, "a.webp"}
