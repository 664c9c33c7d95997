"""Errors of the consumer processes. One root; an image's own error carries its per-image code."""

from schemas.contract.errors import ImageErrorCode


class ConsumerError(Exception):
    """Root of all errors that the consumer raises."""


class ImageError(ConsumerError):
    """This image cannot be processed in any attempt."""

    def __init__(self, code: ImageErrorCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class ModelError(ConsumerError):
    """The checkpoint cannot be loaded, or is not a supported detector."""


class BrokenDetectorError(ConsumerError):
    """The detector fails on every image: its device or memory is broken, not the images."""
