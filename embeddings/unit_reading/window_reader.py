"""Activations of many units of an index on stored windows: one forward pass a batch serves all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.models.hooks import Activations
from corpus_audit.embeddings.scan.batches import batch_ids, batches
from corpus_audit.embeddings.scan.windows import Windows
from corpus_audit.embeddings.unit_reading.unit_reader import open_points
from corpus_audit.schemas.units import Point

BATCH_TOKENS = 2048

Visit = Callable[[np.ndarray, int, np.ndarray], None]
"""Called with a batch's windows, int64 [B], all of one length L; the first of consecutive rows of the index; and the
activations of these, float32 [B, L, columns]."""


def read_windows(
    index: Index, windows: Windows, points: Sequence[Point], visit: Visit, model: str | None = None
) -> None:
    """Run the model over windows and hand on the activations of all indexed units of some points, tile by tile.

    Raises:
        UsageError: the model, or what units are read from, is not that of the index.
    """
    _, taps = open_points(index.facts, index.folder, points, model)
    firsts = taps.selection.first_rows()
    rows = {point: index.rows_of(point, np.arange(index.widths[point])) for point in firsts}
    indices = {point: np.asarray(index.array("indices")[own]) for point, own in rows.items()}
    with taps.hooked():
        for batch in batches(windows.lengths, BATCH_TOKENS):

            def use(tile: Activations, batch: np.ndarray = batch) -> None:
                if not tile.highest:
                    return
                point = max((p for p in firsts if firsts[p] <= tile.row), key=firsts.__getitem__)
                begin = tile.row - firsts[point]
                first, last = np.searchsorted(indices[point], [begin, begin + tile.values.shape[-1]]).tolist()
                if first < last:
                    values = tile.values[: len(batch)].detach().float().cpu().numpy()
                    visit(batch, int(rows[point][first]), values[..., indices[point][first:last] - begin])

            taps.run(torch.from_numpy(batch_ids(windows, batch)).to(taps.device), use)
