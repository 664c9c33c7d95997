"""A forward pass that images of several traces share is linked to all of them."""

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from consumer.vision.steps import NetworkInput, NetworkName
from consumer.worker.batcher import Batcher
from schemas import tracing
from tests.integration.tracing.conftest import Recorded, context

PIXELS = np.zeros((32, 32, 3), np.uint8)


def run_network(_: NetworkName, batch: NDArray[np.uint8]) -> list[int]:
    return [0] * len(batch)


def fail(_: NetworkName, batch: NDArray[np.uint8]) -> list[int]:
    if len(batch) > 1:
        raise ValueError("photo-of-somebody.jpg")
    return [0]


async def run_images(run: object, *parents: str) -> None:
    """Run one input of each parent's image; all of them are ready when the batcher begins."""
    batcher = Batcher(run, batch_size=8, observe=lambda *_: None)  # type: ignore[arg-type]

    async def image(parent: str) -> None:
        with tracing.span("image", parent=parent):
            await batcher.run_inputs([NetworkInput("detector", PIXELS)])

    images = [asyncio.create_task(image(parent)) for parent in parents]
    await asyncio.sleep(0)
    serving = asyncio.create_task(batcher.run())
    async with asyncio.timeout(10):
        await asyncio.gather(*images)
    serving.cancel()


def parent(number: int, flags: str = "01") -> str:
    return f"00-{number:032x}-{number:016x}-{flags}"


async def test_it_belongs_to_the_first_trace_and_is_linked_to_each(recorded: Recorded) -> None:
    await run_images(run_network, parent(1), parent(2), parent(3))
    forward, inputs = recorded.one("forward pass"), recorded.named("inference")
    assert context(forward).trace_id == 1
    linked = {(link.context.trace_id, link.context.span_id) for link in forward.links}
    assert linked == {(context(each).trace_id, context(each).span_id) for each in inputs}
    assert {trace for trace, _ in linked} == {1, 2, 3}
    for each in inputs:
        assert [link.context.span_id for link in each.links] == [context(forward).span_id]


async def test_it_is_recorded_for_the_traces_that_are_sampled(recorded: Recorded) -> None:
    await run_images(run_network, parent(1, "00"), parent(2))
    forward = recorded.one("forward pass")
    assert context(forward).trace_id == 2
    assert len(forward.links) == 1


@pytest.mark.parametrize("parents", [(), (parent(1, "00"),)])
async def test_without_such_a_trace_it_is_not_recorded(
    recorded: Recorded, parents: tuple[str, ...]
) -> None:
    await run_images(run_network, *parents)
    assert recorded.spans == []


async def test_a_pass_that_failed_names_the_kind_of_error_only(recorded: Recorded) -> None:
    await run_images(fail, parent(1), parent(2))
    failed, *halves = recorded.named("forward pass")
    assert dict(failed.attributes or {})["error.type"] == "ValueError"
    assert len(halves) == 2
    assert "photo-of-somebody" not in recorded.text
