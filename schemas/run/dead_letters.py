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


DEAD_LETTER_HINTS: dict[str, str] = {
    DeadLetterReason.NAN_IN_JSON.value: (
        "the lines hold NaN, Infinity or -Infinity, which JSON does not have; Python's json.dumps writes them unless "
        "allow_nan=False: write null in their place"
    ),
    DeadLetterReason.TOO_LARGE.value: "the row is longer than limits.document_bytes",
}
"""What to do about dead letters of a reason, where the reason alone does not say it."""
