"""Activations of a few units on every token of the stored windows: the model runs over them once more.

An index stores extremes and sums of a unit, and not what it does on average on a token, or where it does not fire. The
windows that have vectors are all windows of the corpus, or a part that was chosen by hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.numpy_models.bert import UnknownModelError
from corpus_audit.embeddings.numpy_models.encoder import NumpyModel, batches, open_numpy_model
from corpus_audit.embeddings.scan.windows import Windows, windows_of
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Unit

IN_NUMPY = (Kind.MLP, Kind.RESID, Kind.HEAD)


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
    if index.facts.vectors is None:
        raise UsageError("the index was made without vectors of windows (embedding.vectors): its windows are no sample")
    names = index.array("vector.window")[:most]
    rows = np.searchsorted(index.window_names, names)
    windows = windows_of(index.windows.take(pa.array(rows)), len(index.facts.model.get("prefix", ())))
    values = np.zeros((len(windows.tokens), len(units)), np.float32)
    light = open_numpy_model(index.facts, index.folder, model)
    if (
        light is None
        or not all(unit.point.kind in IN_NUMPY for unit in units)
        or not _in_numpy(light, windows, units, values)
    ):
        from corpus_audit.embeddings.unit_reading.unit_reader import open_unit

        for column, unit in enumerate(units):
            reader = open_unit(index.facts, index.folder, unit, model)
            for _, at in batches(windows):
                values[at, column] = reader.activations(windows.tokens[at])
    return CorpusValues(windows, values, len(windows) / max(index.facts.counts["windows"], 1))


def _in_numpy(light: NumpyModel, windows: Windows, units: Sequence[Unit], values: np.ndarray) -> bool:
    """Fill in the values; returns False where a window needs what is not computed there."""
    wanted = [(column, unit.point.kind, unit.point.block, unit.index) for column, unit in enumerate(units)]
    last = max(block or 0 for _, _, block, _ in wanted)
    try:
        for _, at in batches(windows):

            def visit(kind: Kind, block: int, activations: np.ndarray, at: np.ndarray = at) -> None:
                for column, of_kind, of_block, number in wanted:
                    if (of_kind, of_block) == (kind, block):
                        values[at, column] = activations[:, :, number]

            light.network.run(windows.tokens[at], last, visit)
    except UnknownModelError:
        return False
    return True
