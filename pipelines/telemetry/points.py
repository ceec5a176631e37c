"""Points of telemetry as columns, and the account of what a reader made of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

MOST_TAGS = 100_000
"""Distinct tags of a file; values of further ones are refused (`Refusal.TOO_MANY_TAGS`)."""

MOST_DEAD_LETTERS = 1_000
"""Dead letters of a file that are listed one by one; all are counted."""

_LARGEST_STEP = 2**62


def encodable(text: str) -> str:
    """A text of a log, or a path, whose lone surrogates are escapes, so that it can be written as UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class Refusal(StrEnum):
    """Why an entry of a file, or a value in it, could not be used."""

    CHECKSUM = "checksum"  # the data of a record differ from their checksum
    LENGTH_CHECKSUM = "length_checksum"  # so does its length: bytes up to the next intact record are skipped
    TRUNCATED = "truncated"  # the file ends within an entry
    MALFORMED = "malformed"  # it cannot be parsed
    TOO_LARGE = "too_large"  # longer than readers accept
    TOO_MANY_TAGS = "too_many_tags"
    NO_STEP = "no_step"  # values without a step
    STEP_OUT_OF_RANGE = "step_out_of_range"
    NOT_A_NUMBER = "not_a_number"  # text where a number belongs; "nan" and "inf" are numbers
    WRONG_COLUMNS = "wrong_columns"  # more or fewer cells than the header
    DUPLICATE_KEY = "duplicate_key"  # a key twice in one object: which value counts is unknown
    UNREADABLE = "unreadable"  # the file cannot be opened, or its container is damaged


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry or value that was refused.

    Attributes:
        offset: of its line or record in bytes, or its row, see `FileTelemetry.offset_unit`.
        reason: why.
        detail: what was there, cut; text of the file, to be shown with care.
    """

    offset: int
    reason: Refusal
    detail: str = ""


@dataclass(slots=True)
class Account:
    """What became of the entries of a file: ``entries = used + other + refused``.

    An entry is a record, line or row. ``other`` are those that hold no telemetry by their nature, such as a histogram
    or a line of chatter. ``values = values_used + values_refused`` are the numbers in them. An entry that was refused
    as such has no values; one with at least one value that was used is used.
    """

    entries: int = 0
    used: int = 0
    other: int = 0
    refused: int = 0
    values: int = 0
    values_used: int = 0
    values_refused: int = 0
    reasons: Counter[Refusal] = field(default_factory=Counter)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, offset: int, reason: Refusal, detail: str = "") -> None:
        """Count an entry that was refused."""
        self.entries += 1
        self.refused += 1
        self._letter(offset, reason, detail)

    def refuse_value(self, offset: int, reason: Refusal, detail: str = "") -> None:
        """Count a value that was refused."""
        self.values += 1
        self.values_refused += 1
        self._letter(offset, reason, detail)

    def _letter(self, offset: int, reason: Refusal, detail: str) -> None:
        self.reasons[reason] += 1
        if len(self.dead_letters) < MOST_DEAD_LETTERS:
            self.dead_letters.append(DeadLetter(offset, reason, encodable(detail[:200])))

    def entry(self, used: bool) -> None:
        """Count an entry that was read, with values that were used or without."""
        self.entries += 1
        if used:
            self.used += 1
        else:
            self.other += 1

    @property
    def is_conserved(self) -> bool:
        """Whether every entry and value is accounted for."""
        return (
            self.entries == self.used + self.other + self.refused
            and self.values == self.values_used + self.values_refused
        )


@dataclass(frozen=True, slots=True)
class Points:
    """Columns of equal length, in the order of the file.

    Attributes:
        tag: int32, position in the names of tags.
        step: int64.
        value: float64, NaN and infinities as logged.
        wall_time: float64 seconds since 1970, NaN where the file has none.
        offset: int64, of the line or record in bytes, or of the row.
    """

    tag: np.ndarray
    step: np.ndarray
    value: np.ndarray
    wall_time: np.ndarray
    offset: np.ndarray

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True, slots=True)
class RunPoints:
    """The points of one run in a file; ``run`` is its name there, empty where a file holds a single run."""

    run: str
    tags: tuple[str, ...]
    points: Points


@dataclass(frozen=True, slots=True)
class FileTelemetry:
    """What was read from a file.

    Attributes:
        path: the file.
        kind: its format, see `telemetry.recognition`.
        offset_unit: ``byte`` or ``row``.
        runs: the runs in it.
        account: what became of its entries.
    """

    path: Path
    kind: str
    offset_unit: str
    runs: tuple[RunPoints, ...]
    account: Account


class Collector:
    """Collects points of one run; tags get positions in the order in which they first occur."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._positions: dict[str, int] = {}
        self._chunks: list[tuple[np.ndarray, ...]] = []
        self._rows: list[tuple[int, int, float, float, int]] = []

    def position(self, tag: str) -> int:
        """Position of a tag, or -1 if there are too many."""
        tag = encodable(tag)
        position = self._positions.get(tag)
        if position is None:
            if len(self._positions) >= MOST_TAGS:
                return -1
            position = self._positions[tag] = len(self._positions)
        return position

    def add(self, tag: str, step: int, value: float, wall_time: float, offset: int) -> bool:
        """Add a point; returns whether it was used."""
        if abs(step) > _LARGEST_STEP:
            self._account.refuse_value(offset, Refusal.STEP_OUT_OF_RANGE, tag)
            return False
        position = self.position(tag)
        if position < 0:
            self._account.refuse_value(offset, Refusal.TOO_MANY_TAGS, tag)
            return False
        self._rows.append((position, step, value, wall_time, offset))
        self._account.values += 1
        self._account.values_used += 1
        if len(self._rows) >= 65_536:
            self._flush()
        return True

    def extend(
        self, tag: np.ndarray, step: np.ndarray, value: np.ndarray, wall_time: np.ndarray, offset: np.ndarray
    ) -> None:
        """Add columns whose tags are positions."""
        self._flush()
        self._chunks.append((tag, step, value, wall_time, offset))
        self._account.values += len(step)
        self._account.values_used += len(step)

    def _flush(self) -> None:
        if self._rows:
            tag, step, value, wall, offset = zip(*self._rows, strict=True)
            self._chunks.append(_columns(tag, step, value, wall, offset))
            self._rows = []

    def finish(self, run: str = "") -> RunPoints:
        """The points so far."""
        self._flush()
        if not self._chunks:
            self._chunks.append(_columns((), (), (), (), ()))
        columns = [np.concatenate(parts) for parts in zip(*self._chunks, strict=True)]
        self._chunks = [tuple(columns)]
        return RunPoints(run, tuple(self._positions), Points(*columns))


def _columns(
    tag: Sequence[int], step: Sequence[int], value: Sequence[float], wall: Sequence[float], offset: Sequence[int]
) -> tuple[np.ndarray, ...]:
    return (
        np.array(tag, np.int32),
        np.array(step, np.int64),
        np.array(value, np.float64),
        np.array(wall, np.float64),
        np.array(offset, np.int64),
    )
