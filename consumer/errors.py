"""Errors of the consumer processes. One root; an image's own error carries its per-image code."""

from schemas.contract.errors import ImageErrorCode


class ConsumerError(Exception):
    """Root of all errors that the consumer raises on purpose."""


class ImageError(ConsumerError):
    """This one image cannot be processed, however often it is tried."""

    def __init__(self, code: ImageErrorCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class ModelError(ConsumerError):
    """The checkpoint cannot be loaded or is not a detector that we can run."""


class SickDetectorError(ConsumerError):
    """The detector fails whatever it is given: its device or memory is broken, not the images."""
