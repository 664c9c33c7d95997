"""Colours of drawn plates."""

from __future__ import annotations

from models.plates import RGB

WHITE: RGB = (244, 245, 244)
BLACK: RGB = (22, 22, 24)
YELLOW: RGB = (250, 200, 20)
BLUE: RGB = (14, 60, 150)
RED: RGB = (190, 25, 35)
GREEN: RGB = (20, 110, 60)
