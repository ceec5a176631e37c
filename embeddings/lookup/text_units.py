"""Which units fire on a text, and how rare such activations are in the corpus of an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.index.bins import histogram_edges
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.numpy_models.bert import IN_NUMPY, UnknownModelError
from corpus_audit.embeddings.numpy_models.encoder import batches, open_numpy_model
from corpus_audit.embeddings.scan.windows import Windows
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Point, Unit


@dataclass(frozen=True, slots=True)
class TextUnit:
    """A unit's highest activation on a text.

    Attributes:
        unit: its address.
        value: the activation.
        start, end: code points of the text where the token at the peak is.
        token: its text.
        share_of_highest: value over the unit's highest in the corpus; NaN if that is not above 0.
        rank: where it would stand in the unit's top list, from 0; None if below all of a full list.
        tail: share of the corpus's tokens with such an activation or a higher one: the whole bin of the histogram that
            holds the value is counted, so that it is too large rather than too small.
        tokens: in the histogram, from which the share is.
    """

    unit: Unit
    value: float
    start: int
    end: int
    token: str
    share_of_highest: float
    rank: int | None
    tail: float
    tokens: int


def units_on_text(
    index: Index, text: str, k: int, rows: np.ndarray | None = None, model: str | None = None
) -> list[TextUnit]:
    """Units whose highest activation on a text is rarest in the corpus; of equally rare ones those nearest to their
    highest first.

    Args:
        index: the index.
        text: cut into windows as a document of the corpus is.
        k: the number of units at most.
        rows: of the units that are compared, int64 ascending; all, if None.
        model: path of the model, if it has moved since the index was made.

    Raises:
        UsageError: no token of the text counts; or the model, or what units are read from, is not that of the index.
        ModuleNotFoundError: the extra is not installed.
    """
    wanted = np.arange(len(index.array("indices"))) if rows is None else rows
    peaks, spans = _peaks(index, text, wanted, model)
    histogram = np.asarray(index.array("histogram")[wanted], np.int64)
    bins = np.searchsorted(histogram_edges(), peaks, side="right")
    above = histogram[:, ::-1].cumsum(axis=1)[:, ::-1]
    totals = histogram.sum(axis=1)
    tails = above[np.arange(len(wanted)), bins] / np.maximum(totals, 1)
    top = np.asarray(index.array("top.value")[wanted])
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(top[:, 0] > 0, peaks / top[:, 0], np.nan)
    order = np.lexsort((-np.nan_to_num(shares, nan=-np.inf), tails))[:k]
    units = list(index.units())
    results = []
    for at in order.tolist():
        start, end = (int(edge) for edge in spans[at])
        better = int((top[at] > peaks[at]).sum())
        results.append(
            TextUnit(
                units[wanted[at]], float(peaks[at]), start, end, text[start:end], float(shares[at]),
                better if better < top.shape[1] else None, float(tails[at]), int(totals[at]),
            )
        )  # fmt: skip
    return results


def _peaks(index: Index, text: str, rows: np.ndarray, model: str | None) -> tuple[np.ndarray, np.ndarray]:
    """The highest activation of units on the tokens of a text that count, float32 [n], and where: int64 [n, 2]."""
    peaks = np.full(len(rows), -np.inf, np.float32)
    spans = np.zeros((len(rows), 2), np.int64)
    for first, values, starts, ends in activations_on_text(index, text, rows, model):
        # float32 [T, columns] of rows from ``first`` on, and where the tokens are in the text
        own = np.flatnonzero((rows >= first) & (rows < first + values.shape[1]))
        columns = values[:, rows[own] - first]
        best = columns.argmax(axis=0)
        value = columns[best, np.arange(len(own))]
        higher = value > peaks[own]
        peaks[own[higher]] = value[higher]
        spans[own[higher]] = np.stack([starts[best], ends[best]], axis=1)[higher]
    if not np.isfinite(peaks).all():
        raise UsageError("the text has no token that the model counts")
    return peaks, spans


def activations_on_text(
    index: Index, text: str, rows: np.ndarray, model: str | None
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Activations on a text's tokens that count, of the points to which some units belong, in any order.

    Args:
        index: the index.
        text: cut into windows as a document of the corpus is.
        rows: of the units; of their points, all units are yielded.
        model: path of the model, if it has moved since the index was made.

    Yields:
        The first row, float32 [T, units], and where the tokens start and end in the text, in code points, int64 [T].

    Raises:
        UsageError: the model is not that of the index.
        ModuleNotFoundError: the extra is not installed.
    """
    needed = [point for point in index.widths if len(np.intersect1d(rows, _rows_of(index, point)))]
    light = open_numpy_model(index.facts, index.folder, model)
    if light is not None and all(point.kind in IN_NUMPY for point in needed):
        try:
            yield from _in_numpy(index, light.windows([text]), needed, light.network)
            return
        except UnknownModelError:
            pass
    from corpus_audit.embeddings.unit_reading.unit_reader import text_activations

    yield from text_activations(index, text, needed, model)


def _in_numpy(
    index: Index, windows: Windows, points: Sequence[Point], network: object
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    from corpus_audit.embeddings.numpy_models.bert import NumpyBert

    assert isinstance(network, NumpyBert)
    last = max((point.block or 0 for point in points), default=0)
    wanted = {(point.kind, point.block) for point in points}
    for numbers, at in batches(windows):
        seen: list[tuple[Point, np.ndarray]] = []
        network.run(
            windows.tokens[at],
            last,
            lambda kind, block, values: seen.append((Point(kind, block), values)),  # noqa: B023
            wanted,
        )
        counted = windows.counted[at]
        offset = windows.text_starts[numbers][:, None]
        starts, ends = (windows.starts[at] + offset)[counted], (windows.ends[at] + offset)[counted]
        for point, values in seen:
            own = _rows_of(index, point)
            yield int(own[0]), values[counted][:, index.array("indices")[own]], starts, ends


def _rows_of(index: Index, point: Point) -> np.ndarray:
    return index.rows_of(point, np.arange(index.widths[point]))
