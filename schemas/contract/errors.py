"""Why an image of a task has no result: the codes that status, events and callbacks carry."""

from enum import StrEnum


class ImageErrorCode(StrEnum):
    """Error codes of images. A published code is never renamed; new ones may be added."""

    UNSUPPORTED_FORMAT = "unsupported_format"
    CORRUPT_IMAGE = "corrupt_image"
    ANIMATED_IMAGE = "animated_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    SIDE_TOO_LONG = "side_too_long"
    FILE_TOO_LARGE = "file_too_large"
    INPUT_MISSING = "input_missing"
    INVALID_MESSAGE = "invalid_message"
    INTERNAL_ERROR = "internal_error"
    TOO_MANY_DELIVERIES = "too_many_deliveries"
    TIMED_OUT = "timed_out"
    DELETED = "deleted"


IMAGE_ERROR_MEANINGS: dict[ImageErrorCode, str] = {
    ImageErrorCode.UNSUPPORTED_FORMAT: "The content is not a JPEG, PNG or WebP image.",
    ImageErrorCode.CORRUPT_IMAGE: "The image cannot be decoded, or not to its end.",
    ImageErrorCode.ANIMATED_IMAGE: "The image has more than one frame.",
    ImageErrorCode.TOO_MANY_PIXELS: "The image has more pixels than MAX_IMAGE_PIXELS.",
    ImageErrorCode.SIDE_TOO_LONG: "A side is longer than the 16383 pixels that WebP can hold.",
    ImageErrorCode.FILE_TOO_LARGE: "The file is larger than MAX_FILE_SIZE_BYTES.",
    ImageErrorCode.INPUT_MISSING: "The image was not in storage when its turn came.",
    ImageErrorCode.INVALID_MESSAGE: "The stream entry breaks the message contract.",
    ImageErrorCode.INTERNAL_ERROR: "The service failed on this image; it was not passed through.",
    ImageErrorCode.TOO_MANY_DELIVERIES: "The image was given up after MAX_DELIVERIES tries.",
    ImageErrorCode.TIMED_OUT: "The image never arrived before TASK_TIMEOUT_SECONDS.",
    ImageErrorCode.DELETED: "The task was deleted.",
}
