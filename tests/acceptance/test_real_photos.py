"""Real photographs, if a folder with them lies beside the checkout."""

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.pictures import pixels_of
from tests.support.redis_server import RedisServer
from tests.support.service import ROOT, Service, running

SHARED = ROOT.parent / "shared"

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not SHARED.is_dir(), reason="no folder ../shared with photographs"),
]


def covered_images(service: Service, files: list[Path]) -> list[bytes]:
    """Process files as one task; return the results in their order."""
    state = service.wait_final(service.submit(*((f.name, f.read_bytes()) for f in files)), 120)
    assert state["errors"] == []
    results: Any = state["results"]
    return [service.result(result["url"]) for result in results]


def test_phone_photos_keep_all_but_their_plates(own_redis: RedisServer, tmp_path: Path) -> None:
    photos = sorted((SHARED / "photos").glob("*.jpg"))
    with running(own_redis.url, tmp_path, "worker", "producer") as service:
        results = covered_images(service, photos)
    with_covers = 0
    for photo, result in zip(photos, results, strict=True):
        before = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
        after = pixels_of(result)
        assert after.shape == before.shape
        change = np.abs(after.astype(np.int16) - before).max(axis=2)
        # WebP at quality 90 stays close to what it was given; a cover does not.
        assert np.quantile(change, 0.8) < 25, photo.name
        assert b"EXIF" not in result[:64], "metadata must not survive"
        with_covers += bool((cv2.blur((change > 25).astype(np.float32), (25, 25)) > 0.6).any())
    print(f"{with_covers} of {len(photos)} photos have a cover")
    assert with_covers >= 0.7 * len(photos)


def test_labelled_plates_are_covered(own_redis: RedisServer, tmp_path: Path) -> None:
    with (SHARED / "dataset/index.csv").open() as index:
        names = [
            row["name"]
            for row in csv.DictReader(index)
            if row["split"] == "val" and row["source"] == "openlpr"
        ][:40]
    images = [SHARED / f"dataset/images/val/{name}.jpg" for name in names]
    with running(own_redis.url, tmp_path, "worker", "producer") as service:
        results = covered_images(service, images)
    plates = covered = 0
    for image, result in zip(images, results, strict=True):
        before, after = pixels_of(image.read_bytes()), pixels_of(result)
        label = SHARED / f"dataset/labels/val/{image.stem}.txt"
        for line in label.read_text().splitlines():
            corners = np.array(line.split()[1:], float).reshape(4, 2)
            # The label is an upright rectangle: of a tilted plate its corners hold no plate.
            inner = corners.mean(axis=0) + 0.7 * (corners - corners.mean(axis=0))
            quad = (inner * (before.shape[1], before.shape[0])).astype(np.int32)
            inside = np.zeros(before.shape[:2], np.uint8)
            cv2.fillConvexPoly(inside, quad, 1)
            change = np.abs(after.astype(np.int16) - before).max(axis=2)[inside == 1]
            plates += 1
            covered += bool((change > 15).mean() > 0.6)
    print(f"{covered} of {plates} labelled plates are covered")
    assert covered >= 0.85 * plates
