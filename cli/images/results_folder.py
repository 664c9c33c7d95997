"""The folder that a command writes results to: their names, and which of them are done.

Its journal, a hidden file of JSON lines, says which input each result belongs to, and what it was
made from. A result is done if the journal has the digest of the input's present content, and of all
that decides what becomes of it, and if the file exists. Then it is left as it is, also if a person
has edited it since.

A name belongs to its input, also after that is deleted: a result keeps its name when images are
added beside its own. Where inputs have moved, those with the same content take the names over, and
nothing is done twice. Files that the journal does not know are never overwritten.
"""

import fcntl
import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import IO, Any

from cli.images.sources import Fault, Source

JOURNAL = ".plate-detect.jsonl"
CANNOT_WRITE = "cannot_write"
"""Code of an image whose result the file system does not take."""
OUTPUT_EXISTS = "output_exists"
"""Code of an image whose result would overwrite a file of another origin."""

_MAX_NAME_BYTES = 200  # file systems allow 255


class FolderInUseError(Exception):
    """Another command writes to this folder."""


@dataclass(slots=True)
class Entry:
    """What the journal knows of a result. ``output``: its path in the folder.

    ``input_sha256`` and ``made_with`` are empty until it is written; ``result`` describes it.
    """

    output: str
    input: str
    input_sha256: str = ""
    made_with: str = ""
    result: dict[str, Any] = field(default_factory=dict)


class ResultsFolder:
    """Names, checks and writes results; ``path`` is the folder."""

    def __init__(self, path: Path, journal: IO[bytes], made_with: str) -> None:
        self.path = path
        self._journal = journal
        self._made_with = made_with
        self._entries: dict[str, Entry] = {}
        self._names: dict[tuple[str, str], str] = {}
        for line in journal:
            self._read(line)

    @classmethod
    @contextmanager
    def open(cls, path: Path, made_with: str) -> Iterator["ResultsFolder"]:
        """Open a folder, which is made if it is missing, for one command at a time.

        Args:
            made_with: digest of all but the input that decides what becomes of a result.

        Raises:
            FolderInUseError: another command has it open.
            OSError: it cannot be made or written.
        """
        path.mkdir(parents=True, exist_ok=True)
        with (path / JOURNAL).open("a+b") as journal:
            try:
                fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderInUseError(f"another command writes to {path}") from None
            journal.seek(0)
            folder = cls(path, journal, made_with)
            _end_line(journal)
            yield folder

    def assign(self, sources: Iterable[Source]) -> dict[Path, Path | Fault]:
        """Return the file of each sound source's result, or why there can be none.

        The names are noted in the journal before any of the files is written.
        """
        listed = [source for source in sources if source.fault is None]
        inputs = {os.path.realpath(source.path) for source in listed}
        new: list[Entry] = []
        assigned: dict[Path, Path | Fault] = {}
        for source in listed:
            assigned[source.path] = self._assigned(source, inputs, new)
        if new:
            self._append(new)
            os.fsync(self._journal.fileno())
        return assigned

    def done(self, output: Path, input_sha256: str) -> dict[str, Any] | None:
        """Return the description of a result that need not be made again; None if it must be."""
        entry = self._entries.get(_key(output.relative_to(self.path)))
        if entry is None or (entry.input_sha256, entry.made_with) != (
            input_sha256,
            self._made_with,
        ):
            return None
        return entry.result if output.is_file() else None

    def write(self, output: Path, data: bytes) -> None:
        """Write a result whole or not at all. Raises OSError."""
        with self.writing(output) as file:
            file.write(data)

    @contextmanager
    def writing(self, output: Path) -> Iterator[IO[bytes]]:
        """Open a result to be written, which gets its name when the block ends without an error.

        Raises OSError.
        """
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(output)
        try:
            with partial.open("w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(output)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def note(self, source: Source, output: Path, input_sha256: str, result: dict[str, Any]) -> None:
        """Note that a result is written."""
        relative = output.relative_to(self.path)
        entry = Entry(
            relative.as_posix(), _absolute(source.path), input_sha256, self._made_with, result
        )
        self._remember(entry)
        self._append([entry])

    def _assigned(self, source: Source, inputs: set[str], new: list[Entry]) -> Path | Fault:
        owner, parent = _absolute(source.path), source.place.parent
        known = self._names.get((owner, parent.as_posix()))
        if known is not None:
            return self.path / known
        for name in _names(source.place.name):
            relative = parent / name
            output = self.path / relative
            entry = self._entries.get(_key(relative))
            if entry is None and os.path.lexists(output):
                if os.path.realpath(output) in inputs:
                    continue
                return Fault(OUTPUT_EXISTS, f"{output} exists, and no earlier run wrote it")
            if entry is None:
                entry = Entry(relative.as_posix(), owner)
            elif entry.input != owner and not _has_moved(entry, source):
                continue
            entry.input = owner
            self._remember(entry)
            new.append(entry)
            return output
        raise AssertionError("unreachable: there are infinitely many names")

    def _read(self, line: bytes) -> None:
        try:
            entry = Entry(**json.loads(line))
            self._remember(entry)
        except (ValueError, TypeError):
            return  # cut off when the machine lost power: its image is processed again

    def _remember(self, entry: Entry) -> None:
        relative = PurePath(entry.output)
        self._entries[_key(relative)] = entry
        self._names[entry.input, relative.parent.as_posix()] = entry.output

    def _append(self, entries: Iterable[Entry]) -> None:
        self._journal.write(b"".join(json_line(asdict(entry)) for entry in entries))
        self._journal.flush()


def json_line(row: dict[str, Any]) -> bytes:
    """Return a line of JSON in ASCII, which holds any file name, also one that is not UTF-8."""
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def partial_path(output: Path) -> Path:
    """Return where a result is written before it has its name; a repeated run uses it again."""
    digest = hashlib.sha256(os.fsencode(output.name)).hexdigest()
    return output.with_name(f".{digest[:16]}.part")


def _names(original: str) -> Iterator[str]:
    """Yield names for the result of a file: `car.webp`, `car.jpg.webp`, `car.jpg_2.webp`, …"""
    stem = original.rpartition(".")[0] or original
    yield f"{_cut(stem)}.webp"
    yield f"{_cut(original)}.webp"
    number = 2
    while True:
        yield f"{_cut(original)}_{number}.webp"
        number += 1


def _cut(name: str) -> str:
    encoded = os.fsencode(name)
    if len(encoded) <= _MAX_NAME_BYTES:
        return name
    return encoded[:_MAX_NAME_BYTES].decode(errors="ignore")


def _has_moved(entry: Entry, source: Source) -> bool:
    """Return whether the input of a result is gone, and a source has the same content."""
    if os.path.lexists(entry.input):
        return False
    try:
        return entry.input_sha256 in ("", sha256_of(source.path))
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """Return the digest of a file, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(relative: PurePath) -> str:
    """Return the same for names that some file systems do not distinguish."""
    return unicodedata.normalize("NFC", relative.as_posix()).casefold()


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - without following links


def _end_line(journal: IO[bytes]) -> None:
    """Complete a line that was cut off, so that it takes no other one with it."""
    if journal.tell():
        journal.seek(-1, os.SEEK_END)
        if journal.read(1) != b"\n":
            journal.write(b"\n")
