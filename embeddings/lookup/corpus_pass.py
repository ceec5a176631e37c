"""Activations of a few units on every token of the stored windows: the model runs over them once more.

An index stores extremes and sums of a unit, and not what it does on average on a token, or where it does not fire. The
windows that have vectors are all windows of the corpus, or a part that was chosen by hash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.numpy_models.bert import IN_NUMPY, UnknownModelError
from corpus_audit.embeddings.numpy_models.encoder import batches, open_numpy_model
from corpus_audit.embeddings.scan.windows import Windows, windows_of
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Point, Unit


@dataclass(frozen=True)
class CorpusValues:
    """Activations of n units on the T tokens of N windows.

    Attributes:
        windows: the windows, ascending by name; their ``document`` is the row of the table of windows.
        values: float32 [T, n].
        of_corpus: share of the corpus's windows that these are; 1: all of them, so that averages are exact.
    """

    windows: Windows
    values: np.ndarray
    of_corpus: float


def corpus_values(index: Index, units: Sequence[Unit], most: int, model: str | None = None) -> CorpusValues:
    """Compute activations over the windows that have vectors, the ``most`` of lowest name, which is a hash.

    Args:
        index: the index.
        units: of it.
        most: windows at most.
        model: path of the model, if it has moved since the index was made.

    Raises:
        UsageError: the index has no vectors, or the model is not there or not the index's.
        ModuleNotFoundError: the extra is not installed.
    """
    _, windows = sample_of_windows(index, most)
    values = unit_values(index, windows, units, model)
    return CorpusValues(windows, values, len(windows) / max(index.facts.counts["windows"], 1))


def unit_values(index: Index, windows: Windows, units: Sequence[Unit], model: str | None = None) -> np.ndarray:
    """Activations of n units on all T tokens of some windows, float32 [T, n]; the model runs once over the windows.

    Raises:
        UsageError: the model is not there or not the index's.
        ModuleNotFoundError: the extra is not installed.
    """
    values = np.zeros((len(windows.tokens), len(units)), np.float32)
    columns = {index.row_of(unit): column for column, unit in enumerate(units)}

    def visit(batch: np.ndarray, first: int, activations: np.ndarray) -> None:
        at = windows.offsets[batch][:, None] + np.arange(activations.shape[1])
        for row in columns.keys() & set(range(first, first + activations.shape[-1])):
            values[at, columns[row]] = activations[..., row - first]

    each_batch(index, windows, list(dict.fromkeys(unit.point for unit in units)), visit, model)
    return values


def stored_windows(index: Index, rows: np.ndarray) -> Windows:
    """Windows of an index, by their rows in its table of windows."""
    return windows_of(index.windows.take(pa.array(rows)), len(index.facts.model.get("prefix", ())))


def sample_of_windows(index: Index, most: int) -> tuple[np.ndarray, Windows]:
    """The windows that have vectors, the ``most`` of lowest name, which is a hash: their rows in the table, and they.

    Raises:
        UsageError: the index has no vectors.
    """
    index.facts.check_reads_text("activations of tokens")
    if index.facts.vectors is None:
        raise UsageError("the index was made without vectors of windows (embedding.vectors): its windows are no sample")
    rows = np.searchsorted(index.window_names, index.array("vector.window")[:most])
    return rows, stored_windows(index, rows)


def each_batch(
    index: Index,
    windows: Windows,
    points: Sequence[Point],
    visit: Callable[[np.ndarray, int, np.ndarray], None],
    model: str | None = None,
) -> None:
    """Run the model over windows once and hand on the activations of all indexed units of some points.

    Args:
        index: the index.
        windows: of it.
        points: whose units are read.
        visit: called with a batch's windows, int64 [B], all of one length L; the first of consecutive rows of the
            index; and the activations of these, float32 [B, L, columns].
        model: path of the model, if it has moved since the index was made.

    Raises:
        UsageError: the model is not there or not the index's.
        ModuleNotFoundError: the extra is not installed.
    """
    light = open_numpy_model(index.facts, index.folder, model)
    if light is not None and all(point.kind in IN_NUMPY for point in points):
        rows = {point: index.rows_of(point, np.arange(index.widths[point])) for point in points}
        last = max((point.block or 0 for point in points), default=0)
        wanted = {(point.kind, point.block) for point in points}
        try:
            # What the network does not compute is seen before anything is handed on: embeddings alone show it.
            for _, at in batches(windows):
                light.network.run(windows.tokens[at], -1)
        except UnknownModelError:
            light = None
    if light is None or not all(point.kind in IN_NUMPY for point in points):
        from corpus_audit.embeddings.unit_reading.window_reader import read_windows

        read_windows(index, windows, points, visit, model)
        return
    for batch, at in batches(windows):

        def use(kind: Kind, block: int, activations: np.ndarray, batch: np.ndarray = batch) -> None:
            own = rows[Point(kind, block)]
            if len(own):
                visit(batch, int(own[0]), activations[:, :, np.asarray(index.array("indices")[own])])

        light.network.run(windows.tokens[at], last, use, wanted)
