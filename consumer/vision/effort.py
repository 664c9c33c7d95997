"""How much work the encoder puts into a result."""

from typing import Literal

WebpMethod = int | Literal["auto"]
"""libwebp's method, 0 (fastest) to 6 (smallest files), or what fits the moment."""

_FAST, _THOROUGH = 0, 2
_FAST_UP_TO_PIXELS = 4_000_000
# Measured on photographs at quality 90, against method 2: method 0 takes three quarters of the time
# and 3 to 4 % more bytes up to 1920 x 1080, but 7 % more at 12 megapixels. Method 4, the usual
# default elsewhere, takes twice the time for 1 to 4 % fewer bytes.


def method_for(setting: WebpMethod, height: int, width: int, *, backlog: bool) -> int:
    """Return the method for an image of ``height`` x ``width`` pixels.

    ``auto`` is fast while images wait (``backlog``) and they are not large, and thorough otherwise.
    """
    if setting != "auto":
        return setting
    return _FAST if backlog and height * width <= _FAST_UP_TO_PIXELS else _THOROUGH


def highest_method(setting: WebpMethod) -> int:
    """Return the most thorough method that may be chosen: it takes the most memory."""
    return _THOROUGH if setting == "auto" else setting
