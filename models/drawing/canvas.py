"""A canvas for vehicles: polygons with gradients and round corners, in metres."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from models.drawing.paste import Pixels

Colour = tuple[float, float, float]
Points = list[tuple[float, float]]


class Canvas:
    """Draws shapes given in metres on ``width`` x ``height`` metres, ``scale`` px each."""

    def __init__(self, scale: float, width: float, height: float) -> None:
        self.scale, self.width = scale, width
        shape = round(height * scale), round(width * scale)
        self.rgb = np.zeros((*shape, 3), np.float32)
        self.alpha = np.zeros(shape, np.float32)
        self.rows = np.linspace(0, height, shape[0], dtype=np.float32)[:, None]

    def mask(self, points: Points, rounding: float = 0.0) -> npt.NDArray:  # type: ignore[type-arg]
        """Return an anti-aliased polygon as weights 0..1, its corners rounded by metres."""
        shape = np.zeros(self.alpha.shape, np.uint8)
        corners = np.rint(np.array(points) * self.scale * 16).astype(np.int32)
        cv2.fillPoly(shape, [corners], 255, cv2.LINE_AA, 4)
        if rounding > 0:
            size = 2 * max(1, round(rounding * self.scale)) + 1
            soft = cv2.GaussianBlur(shape, (size, size), 0).astype(np.float32) / 255
            return np.clip((soft - 0.5) * size / 3 + 0.5, 0, 1)
        return shape.astype(np.float32) / 255

    def fill(
        self,
        points: Points,
        top: Colour,
        bottom: Colour | None = None,
        rounding: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Fill a polygon with a vertical gradient over its height."""
        weights = self.mask(points, rounding)[..., None] * opacity
        ys = [y for _, y in points]
        part = self._touched(points, rounding)
        ramp = np.clip((self.rows[part[0]] - min(ys)) / max(1e-6, max(ys) - min(ys)), 0, 1)
        ramp = ramp[..., None]
        colour = np.array(top, np.float32) * (1 - ramp) + np.array(bottom or top) * ramp
        inner = weights[part]
        self.rgb[part] += inner * (colour - self.rgb[part])
        self.alpha[part] = np.maximum(self.alpha[part], inner[..., 0])

    def _touched(self, points: Points, rounding: float) -> tuple[slice, slice]:
        """Return the rows and columns that a polygon's mask may reach."""
        reach = round(rounding * self.scale) + 3
        xs, ys = zip(*points, strict=True)
        left, top = (max(0, int(min(v) * self.scale) - reach) for v in (xs, ys))
        right, bottom = (max(0, int(max(v) * self.scale) + reach + 1) for v in (xs, ys))
        return slice(top, bottom), slice(left, right)

    def both(
        self,
        points: Points,
        top: Colour,
        bottom: Colour | None = None,
        rounding: float = 0.0,
    ) -> None:
        """Fill a polygon and its mirror image on the other side of the vehicle."""
        self.fill(points, top, bottom, rounding)
        self.fill([(self.width - x, y) for x, y in points], top, bottom, rounding)

    def rgba(self) -> Pixels:
        """Return what was drawn, (H, W, 4)."""
        layers = np.dstack([self.rgb, self.alpha * 255])
        return np.asarray(np.rint(layers.clip(0, 255)), np.uint8)


def box(x: float, y: float, x2: float, y2: float) -> Points:
    """Return the corners of an upright rectangle."""
    return [(x, y), (x2, y), (x2, y2), (x, y2)]


def shade(paint: Colour, factor: float) -> Colour:
    """Return a colour, lighter or darker by a factor."""
    red, green, blue = (min(255.0, c * factor) for c in paint)
    return red, green, blue
