"""Joins the points of a run's files to series: resumes become segments, and rows that a resume replaced are marked.

A job that restarts from a checkpoint logs the steps since then again. The rows it logged before belong to an abandoned
branch: the weights that they describe were thrown away. They stay in the series, marked as superseded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus_audit.pipelines.telemetry.canonical import Mapped, canonical
from corpus_audit.pipelines.telemetry.points import FileTelemetry, RunPoints

UNORDERED_SHARE = 0.02
"""A series whose step goes back more often than this, and more than 50 times, is unordered: it is sorted by step."""

SUMMED_LOSS = 20.0
"""Nats; a loss whose median is larger is no mean over tokens (a uniform guess among 500,000 tokens costs 13.1)."""


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one tag of a run, in the order of segments.

    Attributes:
        tag: the name in the files.
        mapped: the quantity it is, or None.
        step, value, wall_time, offset: as in `Points`; values are as logged, not scaled.
        file: int32, position among the run's files.
        segment: int32, from 0: a new one begins with a file, or where the step goes back.
        superseded: bool, rows that a later segment, or a later row of the same step, replaced.
        equal: superseded rows whose replacement at the same step has the same value.
        ordered: whether the step goes back as rarely as resumes do.
    """

    tag: str
    mapped: Mapped | None
    step: np.ndarray
    value: np.ndarray
    wall_time: np.ndarray
    offset: np.ndarray
    file: np.ndarray
    segment: np.ndarray
    superseded: np.ndarray
    equal: int
    ordered: bool

    def __len__(self) -> int:
        return len(self.step)

    @property
    def rows(self) -> np.ndarray:
        """int64: the rows that count, by increasing step."""
        rows: np.ndarray = np.flatnonzero(~self.superseded)
        order: np.ndarray = np.argsort(self.step[rows], kind="stable")
        by_step: np.ndarray = rows[order]
        return by_step

    @property
    def scaled(self) -> np.ndarray:
        """float64 [rows]: their values in the canonical unit."""
        values: np.ndarray = self.value[self.rows] * (self.mapped.scale if self.mapped else 1.0)
        return values


@dataclass(frozen=True, slots=True)
class RunTelemetry:
    """Everything that was read of a run.

    Attributes:
        files: in the order of segments.
        series: by tag.
    """

    files: tuple[FileTelemetry, ...]
    series: tuple[Series, ...]


def _natural(path: Path) -> list[tuple[int, int, str]]:
    pieces = re.findall(r"\d+|\D+", str(path))
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def _first_time(parts: Sequence[RunPoints]) -> float:
    times = [float(part.points.wall_time[0]) for part in parts if len(part.points)]
    return min(times) if times and all(np.isfinite(times)) else float("nan")


def join(files: Sequence[FileTelemetry], names: Sequence[str] = ()) -> RunTelemetry:
    """Join files to one run.

    Files follow each other by their first wall time, or by name where one has none.

    Args:
        files: what was read.
        names: of the run in every file; "" uses all the runs in it.
    """
    names = names or [""] * len(files)
    parts = [
        [part for part in file.runs if not name or part.run == name] for file, name in zip(files, names, strict=True)
    ]
    times = [_first_time(each) for each in parts]
    timed = all(np.isfinite(times))
    order = sorted(range(len(files)), key=lambda i: (times[i] if timed else 0.0, _natural(files[i].path)))
    files, parts = [files[i] for i in order], [parts[i] for i in order]
    tags: dict[tuple[str, str], int] = {}
    pieces: list[tuple[np.ndarray, RunPoints, int]] = []
    for i, (file, each) in enumerate(zip(files, parts, strict=True)):
        for part in each:
            lookup = [tags.setdefault((tag, file.kind), len(tags)) for tag in part.tags]
            pieces.append((np.array(lookup, np.int32)[part.points.tag], part, i))
    if not pieces:
        return RunTelemetry(tuple(files), ())
    tag = np.concatenate([piece[0] for piece in pieces])
    by_tag = np.argsort(tag, kind="stable")
    ends = np.cumsum(np.bincount(tag, minlength=len(tags)))
    columns = {
        name: np.concatenate([getattr(part.points, name) for _, part, _ in pieces])[by_tag]
        for name in ("step", "value", "wall_time", "offset")
    }
    columns["file"] = np.concatenate([np.full(len(part.points), i, np.int32) for _, part, i in pieces])[by_tag]
    series = []
    for (name, kind), end, n in zip(tags, ends.tolist(), np.bincount(tag, minlength=len(tags)).tolist(), strict=True):
        if n:
            rows = {column: values[end - n : end] for column, values in columns.items()}
            series.append(_series(name, canonical(kind, name), rows))
    return RunTelemetry(tuple(files), tuple(series))


def _series(tag: str, mapped: Mapped | None, columns: dict[str, np.ndarray]) -> Series:
    step, file = columns["step"], columns["file"]
    n = len(step)
    back = np.zeros(n, bool)
    back[1:] = step[1:] < step[:-1]
    ordered = int(back.sum()) <= max(50, UNORDERED_SHARE * n)
    if not ordered:
        rows = np.lexsort((np.arange(n), step))
        columns = {name: values[rows] for name, values in columns.items()}
        step, file = columns["step"], columns["file"]
        segment = np.zeros(n, np.int32)
        superseded = np.zeros(n, bool)
    else:
        begins = back
        begins[1:] |= file[1:] != file[:-1]
        segment = np.cumsum(begins).astype(np.int32)
        first = step[np.concatenate([[0], np.flatnonzero(begins)])]
        later = np.minimum.accumulate(first[::-1])[::-1]  # the first step of a segment or of any after it
        limit = np.append(later[1:], np.iinfo(np.int64).max)
        superseded = step >= limit[segment]
    same = np.zeros(n, bool)  # followed by a row of the same step in the same segment
    same[:-1] = (step[1:] == step[:-1]) & (segment[1:] == segment[:-1])
    superseded = superseded | same
    return Series(
        tag, mapped, step, columns["value"], columns["wall_time"], columns["offset"], file, segment, superseded,
        _equal(step, columns["value"], superseded), ordered,
    )  # fmt: skip


def _equal(step: np.ndarray, value: np.ndarray, superseded: np.ndarray) -> int:
    """How many superseded rows have the value of the row that counts at their step."""
    if not superseded.any():
        return 0
    kept = np.flatnonzero(~superseded)
    kept = kept[np.argsort(step[kept], kind="stable")]
    lost = np.flatnonzero(superseded)
    at = np.searchsorted(step[kept], step[lost])
    inside = at < len(kept)
    rows = kept[np.minimum(at, len(kept) - 1)]
    same = inside & (step[rows] == step[lost])
    return int((same & ((value[rows] == value[lost]) | (np.isnan(value[rows]) & np.isnan(value[lost])))).sum())


def main_series(run: RunTelemetry) -> dict[str, Series]:
    """The series of every quantity, of which a run may have several: documented first, then most rows, then by name."""
    best: dict[str, Series] = {}
    for series in sorted(
        run.series, key=lambda s: (s.mapped is None or s.mapped.certainty != "documented", -len(s), s.tag)
    ):
        if series.mapped is not None:
            best.setdefault(series.mapped.quantity, series)
    return best


def is_summed(series: Series) -> bool:
    """Whether a loss is too large for a mean per token: a sum over the tokens of a batch or a document."""
    values = series.value[np.isfinite(series.value)]
    return bool(len(values)) and float(np.median(values)) > SUMMED_LOSS
