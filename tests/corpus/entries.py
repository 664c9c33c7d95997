"""Stream entries that break the contract, or are unusual but valid."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from schemas.contract.errors import ImageErrorCode as Code
from tests.corpus.cases import INLINE_MAX_BYTES, EntryCase, ExpectedDeadLetter, Fields
from tests.unit.vision.pictures import encoded, quarters

IMAGE = encoded(quarters(), "JPEG")
OTHER_IMAGE = encoded(quarters(), "PNG")
VICTIM = "victim"
"""The task of another client; its original must not be read or deleted."""

_INVALID = "invalid_message"


@cache
def entry_cases() -> tuple[EntryCase, ...]:
    """Return all cases, each with a unique name."""
    made = (*unaddressed(), *addressed(), *strange_objects(), *odd_but_fine(), *bad_images(),
            *contradictions())  # fmt: skip
    assert len({case.name for case in made}) == len(made)
    return made


def _entry(task: str, **changes: str | bytes | int | None) -> Fields:
    """Return a valid entry with these fields changed, or removed if None."""
    fields: dict[str, Any] = {"v": "1", "task_id": task, "image": IMAGE, **changes}
    return {name: value for name, value in fields.items() if value is not None}


def _with(**changes: str | bytes | int | None) -> Callable[[str], list[Fields]]:
    return lambda task: [_entry(task, **changes)]


def unaddressed() -> Iterator[EntryCase]:
    """Entries that name no task: each becomes a dead letter, nothing else."""
    broken: dict[str, tuple[dict[str, str | bytes | int | None], str]] = {
        "v missing": ({"v": None}, "v: missing"), "v 2": ({"v": "2"}, "v: unknown"),
        "v empty": ({"v": ""}, "v: unknown"), "v 01": ({"v": "01"}, "v: unknown"),
        "v 1.0": ({"v": "1.0"}, "v: unknown"), "v in wide digits": ({"v": "１"}, "v: unknown"),
        "v not UTF-8": ({"v": b"\xff"}, "not UTF-8"), "v true": ({"v": "true"}, "v: unknown"),
        "task_id missing": ({"task_id": None}, "task_id"),
        "task_id empty": ({"task_id": ""}, "task_id"),
        "task_id up": ({"task_id": "../../etc"}, "task_id"),
        "task_id of 65": ({"task_id": "x" * 65}, "task_id"),
        "task_id with NUL": ({"task_id": b"t\0"}, "task_id"),
        "task_id with a line end": ({"task_id": "t\n"}, "task_id"),
        "task_id with a slash": ({"task_id": "a/b"}, "task_id"),
        "task_id with braces": ({"task_id": "{plates}:x"}, "task_id"),
        "task_id Cyrillic": ({"task_id": "задача"}, "task_id"),
        "task_id not UTF-8": ({"task_id": b"\xff\xfe"}, "not UTF-8"),
        "task_id of 1 MB": ({"task_id": "t" * (1 << 20)}, "task_id"),
        "index negative": ({"index": "-1"}, "index: not a number"),
        "index a word": ({"index": "one"}, "index: not a number"),
        "index a fraction": ({"index": "1.0", "total": "2"}, "index: not a number"),
        "index with a sign": ({"index": "+1", "total": "2"}, "index: not a number"),
        "index with a space": ({"index": " 1", "total": "2"}, "index: not a number"),
        "index with a line end": ({"index": "1\n", "total": "2"}, "index: not a number"),
        "index empty": ({"index": ""}, "index: not a number"),
        "index superscript": ({"index": "²"}, "index: not a number"),
        "index Arabic": ({"index": "٣"}, "index: not a number"),
        "index of 7 digits": ({"index": "1000000"}, "index: not a number"),
        "index of 5000 digits": ({"index": "9" * 5000}, "index: not a number"),
        "index JSON": ({"index": "[0]"}, "index: not a number"),
        "total 0": ({"total": "0"}, "total"),
        "total negative": ({"total": "-1"}, "total: not a number"),
        "total 51": ({"total": "51"}, "total: more than 50"),
        "total a word": ({"total": "all"}, "total: not a number"),
        "total empty": ({"total": ""}, "total: not a number"),
        "total infinite": ({"total": "inf"}, "total: not a number"),
        "index as large as total": ({"index": "3", "total": "3"}, "index must be below total"),
        "index above total": ({"index": "9", "total": "2"}, "index must be below total"),
    }  # fmt: skip
    for name, (changes, detail) in broken.items():
        yield EntryCase(name, _with(**changes), (ExpectedDeadLetter(_INVALID, detail),))
    yield EntryCase(
        "index without total", _with(index=3), (ExpectedDeadLetter("index_out_of_range", "index"),)
    )
    capitals: Fields = {"V": "1", "TASK_ID": "t", "IMAGE": b"x"}
    yield EntryCase(
        "names in capitals", lambda _: [capitals], (ExpectedDeadLetter(_INVALID, "v: missing"),)
    )
    json: Fields = {"message": '{"v":1,"task_id":"t"}'}
    yield EntryCase(
        "one field of JSON", lambda _: [json], (ExpectedDeadLetter(_INVALID, "v: missing"),)
    )
    yield EntryCase(
        "binary names", lambda _: [{b"\xff\0": b"\xff"}], (ExpectedDeadLetter(_INVALID, "v"),)
    )
    many: Fields = {f"f{n}": "x" for n in range(5000)}
    yield EntryCase(
        "5000 alien fields", lambda _: [many], (ExpectedDeadLetter(_INVALID, "v: missing"),)
    )


def _failing(name: str, entries: Callable[[str], list[Fields]], detail: str) -> EntryCase:
    return EntryCase(
        name,
        entries,
        (ExpectedDeadLetter(_INVALID, detail),),
        {0: Code.INVALID_MESSAGE},
        status="failed",
    )


def addressed() -> Iterator[EntryCase]:
    """Invalid entries that name their task and index: this image fails."""
    broken: dict[str, tuple[dict[str, str | bytes | int | None], str]] = {
        "neither object nor image": ({"image": None}, "exactly one"),
        "too large inline": ({"image": bytes(INLINE_MAX_BYTES + 1)}, "image: more than"),
        "output up": ({"output": "../a.webp"}, "output"),
        "output elsewhere": ({"output": "a/b.webp"}, "output"),
        "output on Windows": ({"output": "a\\b.webp"}, "output"),
        "output of another kind": ({"output": "a.html"}, "output"),
        "output empty": ({"output": ""}, "output"),
        "output with NUL": ({"output": b"a\0.webp"}, "output"),
        "output of 300": ({"output": "x" * 300 + ".webp"}, "output"),
        "output right to left": ({"output": "a\u202eb.webp"}, "output"),
        "output not UTF-8": ({"output": b"\xff.webp"}, "not UTF-8"),
        "filename not UTF-8": ({"filename": b"\xff\xfe"}, "not UTF-8"),
        "traceparent of 129": ({"traceparent": "x" * 129}, "traceparent"),
        "traceparent not UTF-8": ({"traceparent": b"\xff"}, "not UTF-8"),
    }  # fmt: skip
    for name, (changes, detail) in broken.items():
        yield _failing(name, _with(**changes), detail)
    both = lambda task: [_entry(task, object=f"{task}/input/0")]  # noqa: E731
    yield _failing("both object and image", both, "exactly one")


def strange_objects() -> Iterator[EntryCase]:
    """Objects outside the input folder of the task: refused."""
    objects: dict[str, Callable[[str], str | bytes]] = {
        "another task's": lambda _: f"{VICTIM}/input/0",
        "another task's, by a detour": lambda task: f"{task}/input/../../{VICTIM}/input/0",
        "its own result": lambda task: f"{task}/output/a.webp",
        "its own quarantine": lambda task: f"{task}/quarantine/1-0",
        "absolute": lambda _: "/etc/passwd", "an address": lambda _: "file:///etc/passwd",
        "in a bucket": lambda _: "s3://bucket/key", "in capitals": lambda task: f"{task}/INPUT/0",
        "empty": lambda _: "", "the folder": lambda task: f"{task}/input/",
        "the folder above": lambda task: f"{task}/input/..",
        "deeper": lambda task: f"{task}/input/a/b", "with NUL": lambda task: f"{task}/input/a\0",
        "with a line end": lambda task: f"{task}/input/a\n",
        "of an unfinished write": lambda task: f"{task}/input/a#1",
        "of 300 characters": lambda task: f"{task}/input/" + "x" * 300,
        "not UTF-8": lambda task: f"{task}/input/".encode() + b"\xff",
    }  # fmt: skip

    def publishing(key: Callable[[str], str | bytes]) -> Callable[[str], list[Fields]]:
        return lambda task: [_entry(task, image=None, object=key(task))]

    for name, key in objects.items():
        detail = "not UTF-8" if name == "not UTF-8" else "object"
        yield _failing(f"object {name}", publishing(key), detail)
    missing = publishing(lambda task: f"{task}/input/none")
    yield EntryCase(
        "object that is not there", missing, (), {0: Code.INPUT_MISSING}, status="failed"
    )


def odd_but_fine() -> Iterator[EntryCase]:
    """Unusual entries that the contract allows."""
    fine: dict[str, tuple[dict[str, str | bytes | int | None], str]] = {
        "alien fields": ({"colour": b"\xff", "": "x", "Image": b"x"}, "covered_image.webp"),
        "leading zeros": ({"index": "000", "total": "01"}, "covered_image.webp"),
        "filename up": ({"filename": "../../a.jpg"}, "covered_a.webp"),
        "filename empty": ({"filename": ""}, "covered_image.webp"),
        "filename with NUL": ({"filename": b"a\0b.jpg"}, "covered_ab.webp"),
        "filename right to left": ({"filename": "a\u202egpj.exe"}, "covered_agpj.webp"),
        "filename of emoji": ({"filename": "🚗.jpg"}, "covered_🚗.webp"),
        "filename of 300": ({"filename": "x" * 300}, f"covered_{'x' * 170}.webp"),
        "output of its own": ({"output": "mine.webp"}, "mine.webp"),
        "traceparent of noise": ({"traceparent": "??"}, "covered_image.webp"),
    }  # fmt: skip
    for name, (changes, result) in fine.items():
        yield EntryCase(name, _with(**changes), results=(result,), status="completed")


def bad_images() -> Iterator[EntryCase]:
    """Valid entries whose bytes are not an image."""
    images = {
        "empty": (b"", Code.UNSUPPORTED_FORMAT), "text": (b"hello", Code.UNSUPPORTED_FORMAT),
        "an address": (b"https://example.org/a.jpg", Code.UNSUPPORTED_FORMAT),
        "base64": (b"/9j/4AAQSkZJRg==", Code.UNSUPPORTED_FORMAT),
        "half a JPEG": (IMAGE[: len(IMAGE) // 2], Code.CORRUPT_IMAGE),
        "a JPEG's start": (IMAGE[:3], Code.CORRUPT_IMAGE),
    }  # fmt: skip
    for name, (image, code) in images.items():
        yield EntryCase(f"image: {name}", _with(image=image), (), {0: code}, status="failed")


def contradictions() -> Iterator[EntryCase]:
    """Entries that contradict earlier ones: the first one is valid."""

    def both(first: dict[str, Any], second: dict[str, Any]) -> Callable[[str], list[Fields]]:
        return lambda task: [_entry(task, **first), _entry(task, **second)]

    one, done = ("covered_image.webp",), "completed"
    yield EntryCase("the same twice", both({}, {}), results=one, status=done)
    yield EntryCase(
        "another image for the same index", both({}, {"image": OTHER_IMAGE}),
        (ExpectedDeadLetter("index_conflict", ""),), results=one, status=done,
    )  # fmt: skip
    yield EntryCase(
        "another total", both({"total": 2}, {"total": 3, "index": 1}),
        (ExpectedDeadLetter("total_conflict", ""),),
        results=("covered_image_0.webp",), status="processing",
    )  # fmt: skip
    yield EntryCase(
        "another total after the end", both({}, {"total": 2, "index": 1}),
        (ExpectedDeadLetter("total_conflict", ""),), results=one, status=done,
    )  # fmt: skip
    yield EntryCase(
        "an index beyond the first total", both({"total": 2}, {"index": 2}),
        (ExpectedDeadLetter("index_out_of_range", ""),), results=("covered_image_0.webp",),
        status="processing",
    )  # fmt: skip
    yield EntryCase(
        "the output of another image",
        both({"total": 2, "output": "a.webp"}, {"total": 2, "index": 1, "output": "a.webp"}),
        (ExpectedDeadLetter("output_conflict", ""),), {1: Code.INVALID_MESSAGE}, ("a.webp",), done,
    )  # fmt: skip
    yield EntryCase(
        "a broken one after a good one", both({}, {"image": None}),
        (ExpectedDeadLetter(_INVALID, "exactly one"),), results=one, status=done,
    )  # fmt: skip
