"""Why a figure has no value: there is not enough to test, or it should have been measured and was not."""

from __future__ import annotations

from corpus_audit.schemas.spec.slices import parts

_TOO_LITTLE = (
    "too few documents",
    "too few edited documents",
    "a side has too few images",
    "both hold the same images, or a side has too few",
    "fewer than ",
    "a fold holds fewer than ",
    "all vectors are the same",
    "it is 0 in the ",
    "no token is in enough documents",
    "no document was sampled",
    "every item is too short",
    "no planted item is testable",
    "this changes none of the items",
    "no decoy is testable",
    "no item has a token",
    "not enough data: ",
)
"""How the reasons begin that the tables give where a test does not have enough data."""

_EMPTY_PART = (
    "the baseline holds no ",
    "the current snapshot holds no ",
    "neither snapshot holds ",
    "the baseline has no documents",
    "the current snapshot has no documents",
    "a side has no documents",
    "there are no ",
    "there is nothing to divide by",
)
"""How the reasons begin that say that nothing is there. Of a part of the corpus that is an answer: the domain is new,
or gone. If the whole corpus is empty, something went wrong."""


def too_little_to_test(reason: str | None, slice_: str) -> bool:
    """Whether a figure is null because there is not enough to test; other reasons, and none, mean: not measured.

    Args:
        reason: of the row of the table of metrics.
        slice_: of the row.
    """
    known = _TOO_LITTLE + (_EMPTY_PART if _is_part(slice_) else ())
    return bool(reason) and all(one.startswith(known) for one in (reason or "").split("; "))


def _is_part(slice_: str) -> bool:
    """Whether a slice is a part of the corpus, such as a domain."""
    return any(key not in ("all", "baseline") for key, _ in parts(slice_))
