"""The networks that a worker runs: the detector, and the second stage."""

import hashlib
from dataclasses import dataclass
from typing import Any

from consumer.vision.corners.model import CornerModel
from consumer.vision.detect.detector import Detector
from consumer.vision.steps import NetworkName, Pixels


@dataclass(frozen=True, slots=True)
class Networks:
    """Loaded networks. ``corners`` None: what the detector finds is covered as it is."""

    detector: Detector
    corners: CornerModel | None = None

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal, of the files of all networks: which ones made a result."""
        if self.corners is None:
            return self.detector.digest
        both = f"{self.detector.digest} {self.corners.digest}"
        return hashlib.sha256(both.encode()).hexdigest()

    def run(self, network: NetworkName, batch: Pixels) -> list[Any]:
        """Return the results of a network for a batch, uint8 (N, h, w, 3)."""
        if network == "detector":
            return self.detector.detect(batch)
        if self.corners is None:
            raise ValueError("there is no second stage")
        return self.corners.examine(batch)
