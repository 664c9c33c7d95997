"""How much work the encoder puts into a result."""

from typing import Literal

WebpMethod = int | Literal["auto"]
"""libwebp's method, 0 (fastest) to 6 (smallest files), or what fits the moment."""

_FAST, _THOROUGH = 0, 2
_FAST_UP_TO_PIXELS = 14_000_000  # so far even noise fits: see encode_webp
_FAST_FROM_QUALITY = 89
# Measured on photographs at quality 90 (twelve of 12 megapixels, these scaled to 1920 and 640 px,
# and 26 others), against method 2: method 0 takes two thirds of the time for 0 to 5 % more bytes,
# up to 7 % where there is much grain. Method 4, the usual default elsewhere, takes twice the time
# for 0 to 4 % fewer. On 160 images of up to 3 megapixels method 0 writes 0 to 6 % more in the
# mean at quality 89 and above, but 13 % at 88 and 19 % at 80: who asks for such a quality wants
# small files.


def method_for(setting: WebpMethod, height: int, width: int, *, quality: int, backlog: bool) -> int:
    """Return the method for an image of ``height`` x ``width`` pixels, encoded at ``quality``.

    ``auto`` is fast while images wait (``backlog``) where that costs few bytes, else thorough.
    """
    if setting != "auto":
        return setting
    cheap = height * width <= _FAST_UP_TO_PIXELS and quality >= _FAST_FROM_QUALITY
    return _FAST if backlog and cheap else _THOROUGH


def highest_method(setting: WebpMethod) -> int:
    """Return the most thorough method that may be chosen: it takes the most memory."""
    return _THOROUGH if setting == "auto" else setting
