"""Dead letters: why a row could not be counted, and what to do about it."""

from __future__ import annotations

from enum import StrEnum


class DeadLetterReason(StrEnum):
    """Why a row could not be counted."""

    INVALID_UTF8 = "invalid_utf8"
    LONE_SURROGATE = "lone_surrogate"
    NOT_JSON = "not_json"
    NAN_IN_JSON = "nan_in_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_TEXT = "missing_text"
    WRONG_TYPE = "wrong_type"
    TOO_LARGE = "too_large"
    MISSING_IMAGE = "missing_image"
    IMAGE_NOT_STORED = "image_not_stored"
    SEVERAL_IMAGES = "several_images"
    REPEATED_KEY = "repeated_key"
    NOT_A_REGULAR_MEMBER = "not_a_regular_member"
    IMAGE_EMPTY = "image_empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_IMAGE_FORMAT = "unsupported_image_format"
    UNSUPPORTED_IMAGE_MODE = "unsupported_image_mode"
    IMAGE_TRUNCATED = "image_truncated"
    IMAGE_CORRUPT = "image_corrupt"
    IMAGE_TOO_LARGE = "image_too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    IMAGE_OUT_OF_MEMORY = "image_out_of_memory"


DEAD_LETTER_HINTS: dict[str, str] = {
    DeadLetterReason.NAN_IN_JSON.value: (
        "the lines hold NaN, Infinity or -Infinity, which JSON does not have; Python's json.dumps writes them unless "
        "allow_nan=False: write null in their place"
    ),
    DeadLetterReason.TOO_LARGE.value: "the row is longer than limits.document_bytes",
    DeadLetterReason.IMAGE_NOT_STORED.value: (
        "the rows hold the path of an image, not its bytes: write the bytes, as Dataset.cast_column and push_to_hub do"
    ),
    DeadLetterReason.SEVERAL_IMAGES.value: (
        "samples with several images: name one of them in document.image by its ending, such as jpg"
    ),
    DeadLetterReason.REPEATED_KEY.value: (
        "members of a tar archive whose key occurred before, apart from it, or twice with the same ending: data "
        "loaders join only members that follow each other; write those of a sample together (tar --sort=name)"
    ),
    DeadLetterReason.NOT_A_REGULAR_MEMBER.value: (
        "links, sparse files and devices in a tar archive have no bytes of their own: write it with tar --dereference "
        "--hard-dereference and without --sparse"
    ),
    DeadLetterReason.UNSUPPORTED_IMAGE_FORMAT.value: (
        "JPEG, PNG, WebP, GIF, BMP and TIFF are decoded: convert images of other formats"
    ),
    DeadLetterReason.IMAGE_TOO_LARGE.value: "the image is longer than images.max_bytes",
    DeadLetterReason.TOO_MANY_PIXELS.value: "the image has more pixels than images.max_pixels",
    DeadLetterReason.TOO_MANY_FRAMES.value: "the image has more frames than images.max_frames",
}
"""What to do about dead letters of a reason, where the reason alone does not say it."""
