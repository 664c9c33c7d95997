"""The corpus through the whole service: real processes, a real server, the real detector."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.contract.names import base_name
from tests.corpus.cases import SECRET, EntryCase, ExpectedImage, ImageCase, NameCase, RequestCase
from tests.corpus.entries import IMAGE, VICTIM, entry_cases
from tests.corpus.images import image_cases
from tests.corpus.names import name_cases
from tests.corpus.raw_http import RawResponse
from tests.corpus.requests import accepted_requests, request_cases
from tests.corpus.service import KEYS, CorpusService, ProcessedImage, ProcessedTask, corpus_service
from tests.support.service import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(300)]

MAX_GROWTH_BYTES = {"producer": 64 << 20, "worker": 640 << 20}
"""Limit for the growth of a process' peak memory after one small task, bytes. The
worker may hold 256 MiB of images (MEMORY_BUDGET_MB) and the largest alone, and it keeps kernels of
OpenVINO for some of the corpus' many input shapes."""


def cases(all_of_them: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", all_of_them, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CorpusService]:
    with corpus_service(tmp_path_factory.mktemp("town")) as started:
        yield started


@pytest.fixture(scope="module")
def refused(place: CorpusService) -> dict[str, RawResponse]:
    """Responses to all refused requests; these must leave nothing behind."""
    before = place.stored()
    answers = place.send(request_cases())
    odd = place.refuse([picture for picture in image_cases() if picture.refused])
    wait_until(lambda: place.stored() == before, 15, lambda: f"{place.stored()} not {before}")
    return answers | {name: RawResponse(a.status_code, a.json()) for name, a in odd.items()}


@pytest.fixture(scope="module")
def outcomes(place: CorpusService) -> dict[str, ProcessedImage]:
    return place.process([picture for picture in image_cases() if not picture.refused])


@pytest.fixture(scope="module")
def taken(place: CorpusService) -> dict[str, RawResponse]:
    return place.send(accepted_requests())


@pytest.fixture(scope="module")
def settled(place: CorpusService) -> dict[str, ProcessedTask]:
    original = place.service.storage / VICTIM / "input" / "0"
    original.parent.mkdir(parents=True)
    original.write_bytes(IMAGE)
    answers = place.publish(entry_cases())
    assert original.read_bytes() == IMAGE, "the original of another task was read or deleted"
    assert place.state(VICTIM) is None
    return answers


def test_the_corpus_is_large() -> None:
    sizes = [
        len(part())
        for part in (image_cases, request_cases, accepted_requests, name_cases, entry_cases)
    ]
    print(f"{sum(sizes)} cases: {sizes}")
    assert sum(sizes) >= 200


@cases(request_cases())
def test_request(case: RequestCase, refused: dict[str, RawResponse]) -> None:
    answer = refused[case.name]
    assert answer.status == case.status
    if not case.kind:
        return  # refused below the application, by aiohttp
    assert answer.body["status"] == case.status
    assert answer.body["detail"]
    kind = answer.body["type"].removeprefix("urn:plate-detect:")
    assert case.kind in (kind, "*")


@cases(accepted_requests())
def test_unusual_form(
    case: RequestCase, taken: dict[str, RawResponse], place: CorpusService
) -> None:
    assert taken[case.name].status == 202
    state: Any = place.service.wait_final(taken[case.name].body["task_id"])
    assert [result["filename"] for result in state["results"]] == ["covered_a.webp"]


@cases([picture for picture in image_cases() if picture.refused])
def test_unsupported_file(case: ImageCase, refused: dict[str, RawResponse]) -> None:
    answer = refused[case.name]
    assert (answer.status, answer.body["type"]) == (415, "urn:plate-detect:unsupported-type")


@cases([picture for picture in image_cases() if not picture.refused])
def test_image(case: ImageCase, outcomes: dict[str, ProcessedImage]) -> None:
    outcome = outcomes[case.name]
    if not isinstance(case.expected, ExpectedImage):
        assert outcome == ProcessedImage(None, case.expected)
        return
    assert outcome.code is None
    assert outcome.result is not None
    assert SECRET not in outcome.result
    with Image.open(io.BytesIO(outcome.result)) as image:
        assert (image.format, image.size) == ("WEBP", (case.expected.width, case.expected.height))
        assert not {"exif", "icc_profile", "xmp"} & set(image.info)
        pixels = np.asarray(image.convert("RGBA"), int)
    if case.expected.like is not None:
        assert np.abs(pixels[..., :3] - case.expected.like).mean() < 14
    if case.expected.hidden is not None:
        assert (pixels[..., 3] < 255).any()
        assert np.abs(pixels[..., :3] - case.expected.hidden).max(axis=2).min() > 50


@cases(name_cases())
def test_names(case: NameCase, place: CorpusService) -> None:
    assert tuple(base_name(name) for name in case.sent) == case.kept
    answer = place.upload(*((name, IMAGE) for name in case.sent))
    assert answer.status_code == 202
    state: Any = place.service.wait_final(answer.json()["task_id"])
    assert tuple(result["filename"] for result in state["results"]) == case.outputs
    for result in state["results"]:
        assert place.service.result(result["url"]).startswith(b"RIFF")
    folder = place.service.storage / answer.json()["task_id"]

    def stored() -> set[str]:
        return {path.name for path in folder.rglob("*") if path.is_file()}

    # the worker deletes an original just after the status says that the task has ended
    wait_until(lambda: stored() == set(case.outputs), 30, lambda: f"only results, not {stored()}")


@cases(entry_cases())
def test_entry(case: EntryCase, settled: dict[str, ProcessedTask], place: CorpusService) -> None:
    found = settled[case.name]
    assert [letter["reason"].decode() for letter in found.letters] == [
        letter.reason for letter in case.letters
    ]
    for letter, expected in zip(found.letters, case.letters, strict=True):
        assert expected.detail in letter["detail"].decode()
        assert not any(IMAGE[:20] in value for value in letter.values()), "pixels in a dead letter"
    if case.status is None:
        assert found.state is None
        return
    assert found.state is not None
    assert found.state["status"] == case.status
    assert {error["index"]: error["code"] for error in found.state["errors"]} == case.errors
    assert tuple(result["filename"] for result in found.state["results"]) == case.results
    for result in found.state["results"]:
        assert place.service.result(result["url"]).startswith(b"RIFF")


def test_the_service_is_as_before(
    place: CorpusService,
    refused: dict[str, RawResponse],
    taken: dict[str, RawResponse],
    outcomes: dict[str, ProcessedImage],
    settled: dict[str, ProcessedTask],
) -> None:
    for name, role in place.service.roles.items():
        assert role.is_running, f"{name} has ended"
        assert '"exception"' not in role.log, role.log
    for name, peak in place.peaks().items():
        growth = peak - place.before[name]
        print(f"{name}: {place.before[name] >> 20} MiB, at its peak {growth >> 20} MiB more")
        assert growth < MAX_GROWTH_BYTES[name]
    state: Any = place.service.wait_final(place.service.submit(("a.jpg", IMAGE)))
    assert state["status"] == "completed"
    assert place.redis.xlen(KEYS.images) == 0

    def originals() -> set[Path]:
        return {path for path in place.service.storage.glob("*/input/*") if path.is_file()}

    expected = {place.service.storage / VICTIM / "input" / "0"}
    wait_until(lambda: originals() == expected, 30, lambda: f"originals gone, not {originals()}")
