"""bfloat16 finds the same plates as float32, in the same places."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from consumer.vision.detect.backends.base import Precision
from consumer.vision.detect.backends.pytorch import compute_dtype
from consumer.vision.detect.detector import NetworkDetector, load_detector
from consumer.vision.image.scaling import Pyramid
from consumer.vision.views.letterbox import letterbox
from models.drawing.scenes import draw_scene

CHECKPOINT = Path(__file__).parents[3] / "models" / "plate-obb.pt"


@cache
def detector(precision: Precision) -> NetworkDetector:
    return load_detector(
        CHECKPOINT, device="cpu", confidence=0.25, max_batch=4, precision=precision
    )


@pytest.mark.parametrize(("side", "scenes"), [(640, 3), (1664, 1)])
def test_bfloat16_finds_the_plates_where_float32_does(side: int, scenes: int) -> None:
    exact, coarse = detector("float32"), detector("bfloat16")
    found = 0
    for seed in range(scenes):
        scene = draw_scene(np.random.default_rng(seed), side, side * 3 // 4, 2, angle=4.0 * seed)
        pixels = letterbox(Pyramid(scene.rgb), side).pixels[None]
        [wanted], [got] = exact.detect(pixels), coarse.detect(pixels)
        for plate in scene.quads:
            where = np.abs(wanted.quads.mean(axis=1) - plate.mean(axis=0)).max(axis=1)
            if not len(where) or where.min() > 0.2 * float(np.ptp(plate[:, 0])):
                continue
            found += 1
            quad, score = wanted.quads[where.argmin()], wanted.scores[where.argmin()]
            distances = np.abs(got.quads - quad).max(axis=(1, 2))
            # A twentieth of the plate's width, a fifth of its height.
            assert distances.min() <= max(1.5, 0.05 * float(np.ptp(quad[:, 0])))
            assert got.scores[distances.argmin()] == pytest.approx(score, abs=0.06)
    assert found >= 1.5 * scenes


def test_bfloat16_has_the_same_results_alone_and_in_a_batch() -> None:
    coarse = detector("bfloat16")
    scenes = [draw_scene(np.random.default_rng(seed), 640, 480, 3).rgb for seed in range(2)]
    together = coarse.detect(np.stack(scenes))
    for scene, found in zip(scenes, together, strict=True):
        [alone] = coarse.detect(scene[None])
        assert len(alone.scores)
        np.testing.assert_array_equal(alone.quads, found.quads)
        np.testing.assert_array_equal(alone.scores, found.scores)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"amx_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_auto_is_bfloat16_only_where_the_cpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert compute_dtype(torch.device("cpu"), "auto") is expected
    assert compute_dtype(torch.device("cpu"), "float32") is torch.float32
    assert compute_dtype(torch.device("cuda"), "auto") is torch.float16
