"""Views of large images, batched, with the real networks: the same plates in any batch."""

import asyncio
from functools import lru_cache

import numpy as np
import pytest

from consumer.settings import WorkerSettings
from consumer.vision.cover.margins import DEFAULT_PADDING, cover_quads
from consumer.vision.detect.obb import Detections
from consumer.vision.finding import FindOptions, find_plates, split
from consumer.vision.networks import Networks
from consumer.vision.views.tiling import Tiling, closeups
from consumer.worker.batcher import Batcher
from consumer.worker.pipeline import run_batched
from consumer.worker.process import networks_of
from models.drawing.scenes import Scene, draw_scene
from models.evaluation.metrics import covered_share

CONFIDENCE = 0.3
WIDTH, HEIGHT = 2400, 1350


@pytest.fixture(scope="module")
def networks() -> Networks:
    return networks_of(WorkerSettings(inference_threads=1, processing_batch_size=8))


def street(seed: int, columns: int = 4, rows: int = 3) -> np.ndarray:
    """A drawn street of scenes side by side: small plates, also where tiles meet."""
    rng = np.random.default_rng(seed)
    size = WIDTH // columns, HEIGHT // rows
    parts = [
        np.hstack([draw_scene(rng, *size, plates=2).rgb for _ in range(columns)])
        for _ in range(rows)
    ]
    return np.ascontiguousarray(np.vstack(parts))


def near_plate(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture that a drawn plate nearly fills, and its corners."""
    scene = draw_scene(np.random.default_rng(seed), 3000, 2000, plates=1)
    [quad] = scene.quads
    low, high = quad.min(axis=0), quad.max(axis=0)
    margin = 0.15 * (high[0] - low[0])
    left, top = (low - margin).astype(int).clip(0)
    right, bottom = (high + margin).astype(int)
    return np.ascontiguousarray(scene.rgb[top:bottom, left:right]), quad - (left, top)


async def together(
    networks: Networks, pictures: list[np.ndarray], tiling: Tiling
) -> tuple[list[Detections], list[int]]:
    """Plates of pictures that share batches, as the worker finds them, and the batches' sizes."""
    sizes: list[int] = []
    batcher = Batcher(
        networks.run,
        batch_size=len(pictures),
        observe=lambda network, size, _seconds: (
            sizes.append(size) if network == "detector" else None
        ),
        max_wait_seconds=2,  # so that a batch is filled on a busy machine too
    )
    task = asyncio.create_task(batcher.run())
    try:
        async with asyncio.timeout(100):
            options = FindOptions(640, tiling, corners=True)
            steps = [find_plates(rgb, options) for rgb in pictures]
            found = await asyncio.gather(
                *(run_batched(each, batcher, asyncio.to_thread) for each in steps)
            )
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return [split(each.plates, CONFIDENCE)[0] for each in found], sizes


def assert_alike(found: list[Detections], others: list[Detections]) -> None:
    for one, other in zip(found, others, strict=True):
        assert len(one.scores) == len(other.scores) > 0
        assert np.abs(one.scores - other.scores).max() <= 0.001
        assert np.abs(one.quads - other.quads).max() <= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("tiling", ["auto", "on"])
async def test_the_same_image_gives_the_same_plates_in_any_batch(
    networks: Networks, tiling: Tiling
) -> None:
    pictures = [street(seed) for seed in (1, 2, 3)]
    alone = [(await together(networks, [rgb], tiling))[0][0] for rgb in pictures]
    found, sizes = await together(networks, [pictures[i] for i in (2, 0, 1)], tiling)
    assert max(sizes) > 1
    assert_alike(found, [alone[i] for i in (2, 0, 1)])


@pytest.mark.slow
async def test_a_near_plate_is_found_alike_in_any_batch(networks: Networks) -> None:
    pictures = [near_plate(seed)[0] for seed in (1, 2, 3)]
    alone = [(await together(networks, [rgb], "auto"))[0][0] for rgb in pictures]
    found, sizes = await together(networks, pictures, "auto")
    assert max(sizes) > 1
    assert_alike(found, alone)


@lru_cache
def drawn(seed: int, width: int, height: int) -> Scene:
    return draw_scene(np.random.default_rng(seed), width, height, plates=2)


def lying(scene: Scene, turns: int) -> tuple[np.ndarray, np.ndarray]:
    """A drawn scene turned clockwise by 90°, so often, and its plates' corners."""
    quads, (height, width) = scene.quads, scene.rgb.shape[:2]
    for _ in range(turns):
        quads = np.stack((height - quads[..., 1], quads[..., 0]), axis=-1)
        height, width = width, height
    return np.ascontiguousarray(np.rot90(scene.rgb, -turns)), quads.astype(np.float32)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize(("seed", "width", "height"), [(18, 1600, 1200), (17, 2000, 1200)])
async def test_plates_are_found_however_the_picture_lies(
    networks: Networks, seed: int, width: int, height: int, turns: int
) -> None:
    rgb, plates = lying(drawn(seed, width, height), turns)
    [found], _ = await together(networks, [rgb], "auto")
    covers = list(cover_quads(found.quads, DEFAULT_PADDING))
    assert min(covered_share(plate, covers) for plate in plates) >= 0.9


@pytest.mark.slow
async def test_turned_views_are_alike_in_any_batch(networks: Networks) -> None:
    scenes = [draw_scene(np.random.default_rng(seed), 800, 600, plates=1) for seed in range(4)]
    pictures = [lying(scene, turns)[0] for scene, turns in zip(scenes, (1, 3, 1, 1), strict=True)]
    alone = [(await together(networks, [rgb], "auto"))[0][0] for rgb in pictures]
    found, sizes = await together(networks, pictures, "auto")
    assert max(sizes) > 1
    assert_alike(found, alone)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_a_plate_that_fills_the_picture_is_found_to_its_ends(
    networks: Networks, seed: int
) -> None:
    rgb, plate = near_plate(seed)
    [found], _ = await together(networks, [rgb], "auto")
    assert covered_share(plate, list(cover_quads(found.quads, DEFAULT_PADDING))) >= 0.9


async def test_closer_views_find_what_the_whole_view_does_not(networks: Networks) -> None:
    rgb = street(4, columns=8, rows=6)
    assert closeups(HEIGHT, WIDTH, 640, "off") == []
    [far], _ = await together(networks, [rgb], "off")
    [near], _ = await together(networks, [rgb], "auto")
    assert len(near.scores) > len(far.scores)
    for quad in far.quads:
        assert np.abs(near.quads.mean(axis=1) - quad.mean(axis=0)).max(axis=1).min() < 20
