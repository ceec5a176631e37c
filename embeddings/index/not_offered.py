"""Units that a model has and an index does not offer, with reasons: nothing is left out without a word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from corpus_audit.schemas.units import Kind


@dataclass(frozen=True, slots=True)
class NotOffered:
    """Units that a model has, or may be expected to have, and that are not offered.

    Attributes:
        kind: of the units.
        blocks: in which blocks; empty for units outside of blocks.
        reason: why, as a clause.
        exists: whether the model has such units: there is a part that cannot be read, not none at all.
    """

    kind: Kind
    blocks: tuple[int, ...]
    reason: str
    exists: bool = True

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NotOffered:
        """The record whose `as_json` this is."""
        blocks = tuple(int(block) for block in values["blocks"])
        return cls(Kind(values["kind"]), blocks, str(values["reason"]), bool(values["exists"]))

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"kind": str(self.kind), "blocks": list(self.blocks), "reason": self.reason, "exists": self.exists}

    def matches(self, pattern: str) -> bool:
        """Whether a pattern of units, such as ``mlp.3:*``, may mean some of these."""
        kind, _, block = pattern.partition(":")[0].partition(".")
        return fnmatchcase(str(self.kind), kind) and (
            not self.blocks or any(fnmatchcase(str(each), block or "*") for each in self.blocks)
        )

    def __str__(self) -> str:
        numbers = f" of {_ranges(self.blocks)}" if self.blocks else ""
        return f"not offered, {self.kind}{numbers}: {self.reason}"


def reasons_for(records: Iterable[Mapping[str, Any]] | None, pattern: str | None = None) -> list[str]:
    """Sentences about units that a model has and that are not offered.

    Args:
        records: ``not_offered`` of an `index.json`; None in indexes that do not say it.
        pattern: of units; only what is missing of its kind, and in its block, is listed. None: everything.
    """
    listed = []
    for values in records or ():
        record = NotOffered.from_json(values)
        if not record.exists or (pattern is not None and not record.matches(pattern)):
            continue
        listed.append(str(record))
    return listed


def _ranges(numbers: Sequence[int]) -> str:
    """Blocks as text, such as "blocks 0-3 and 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    listed = texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
    return f"block{'s' if len(numbers) > 1 else ''} {listed}"
