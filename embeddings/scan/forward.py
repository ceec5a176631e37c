"""Runs a model over windows: one forward pass feeds the statistics of all units."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from corpus_audit.embeddings.models.hooks import Activations, Taps
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator
from corpus_audit.embeddings.scan.batches import batch_ids, batch_rows, batches
from corpus_audit.embeddings.scan.pooling import Pooling
from corpus_audit.embeddings.scan.reduction import as_array, reducer_for, to_device
from corpus_audit.embeddings.scan.windows import Windows
from corpus_audit.schemas.errors import UsageError

_MOST_HEAT = float(np.finfo(np.float16).max)


def scan(
    taps: Taps,
    windows: Windows,
    domain: np.ndarray,
    group: np.ndarray,
    into: ActivationAccumulator,
    batch_tokens: int,
    progress: Callable[[int], None] = lambda _: None,
    pooling: Pooling | None = None,
) -> None:
    """Add the activations of windows to an accumulator; ``taps`` are hooked.

    Args:
        taps: the units.
        windows: what the model reads.
        domain: int64 [N], the windows' domains, as positions in ``into.domains``.
        group: int64 [N], hash groups of their documents.
        into: where examples and statistics go.
        batch_tokens: about how many tokens the model sees at once.
        progress: called with the tokens of every batch.
        pooling: collects the windows' vectors.

    Raises:
        AuditError: an activation is not a finite number.
        UsageError: a window alone does not fit into the device's memory.
    """
    with reducer_for(taps.device, into, taps.selection.point_of, pooling) as reducer:

        def run_batch(batch: np.ndarray) -> None:
            ids = batch_ids(windows, batch)
            reducer.begin(batch_rows(windows, batch, domain, group))
            taps.run(to_device(ids, taps.device), reducer.reduce, reducer.reduce_stream)
            reducer.end()
            progress(ids.size)

        _in_batches(taps, windows, batch_tokens, run_batch)


def pool(taps: Taps, windows: Windows, batch_tokens: int, pooling: Pooling) -> None:
    """Collect the vectors of windows, and nothing else; ``taps`` are hooked, arguments and errors as for `scan`."""
    unused = np.zeros(len(windows), np.int64)
    with reducer_for(taps.device, None, taps.selection.point_of, pooling) as reducer:

        def run_batch(batch: np.ndarray) -> None:
            reducer.begin(batch_rows(windows, batch, unused, unused))
            taps.run(to_device(batch_ids(windows, batch), taps.device), lambda activations: None, reducer.reduce_stream)
            reducer.end()

        _in_batches(taps, windows, batch_tokens, run_batch)


def heat_maps(
    taps: Taps, windows: Windows, row: np.ndarray, slot: np.ndarray, at: np.ndarray, into: np.ndarray, batch_tokens: int
) -> None:
    """Activations of every token in windows that hold an example; one more pass over those windows.

    Args:
        taps: the units, hooked.
        windows: the windows that hold an example.
        row, slot, at: int64 [P], an example's unit (by row), its slot, and its window's position in ``windows``.
        into: float16 [R, k, window], filled where there is an example; tokens of a window from 0. What is beyond
            float16 is kept as its largest number.
        batch_tokens: as for `scan`.
    """
    # Sorted by window, so that a batch's examples are found by bisection.
    order = np.lexsort((row, at))
    row, slot, at = row[order], slot[order], at[order]

    def run_batch(batch: np.ndarray) -> None:
        batch_row = {int(window): b for b, window in enumerate(batch)}
        firsts, lasts = np.searchsorted(at, batch), np.searchsorted(at, batch, side="right")
        pairs = np.concatenate([np.arange(first, last) for first, last in zip(firsts, lasts, strict=True)])
        if not len(pairs):
            return
        of_row = row[pairs]
        by_row = np.argsort(of_row, kind="stable")
        pairs, of_row = pairs[by_row], of_row[by_row]
        in_batch = np.array([batch_row[int(window)] for window in at[pairs]], np.int64)
        ids = to_device(batch_ids(windows, batch), taps.device)
        taps.run(ids, partial(_store_heat, into, of_row, slot[pairs], in_batch))

    _in_batches(taps, windows, batch_tokens, run_batch)


def _store_heat(
    into: np.ndarray, row: np.ndarray, slot: np.ndarray, in_batch: np.ndarray, activations: Activations
) -> None:
    """Store the activations of a batch's examples, ascending by ``row``: those of the columns at hand."""
    if not activations.highest:
        return
    first, last = np.searchsorted(row, [activations.row, activations.row + activations.values.shape[-1]])
    if first < last:
        device = activations.values.device
        columns = torch.from_numpy(row[first:last] - activations.row).to(device)
        values = as_array(activations.values[torch.from_numpy(in_batch[first:last]).to(device), :, columns])
        exact = values.clip(-_MOST_HEAT, _MOST_HEAT)
        halves = exact.astype(np.float16)
        # Rounded down: no token's activation may be above that of the peak, which is kept in float32.
        halves = np.where(halves > exact, np.nextafter(halves, np.float16(-np.inf)), halves)
        into[row[first:last], slot[first:last], : values.shape[1]] = halves


def _in_batches(taps: Taps, windows: Windows, batch_tokens: int, run_batch: Callable[[np.ndarray], None]) -> None:
    """Call a function with every batch; one that does not fit into the device's memory is halved."""

    def run_or_halve(batch: np.ndarray) -> None:
        try:
            run_batch(batch)
            return
        except torch.cuda.OutOfMemoryError:
            if len(batch) == 1:
                raise UsageError(_does_not_fit(taps, int(windows.lengths[batch[0]]))) from None
        torch.cuda.empty_cache()
        for half in np.array_split(batch, 2):
            run_or_halve(half)

    for batch in batches(windows.lengths, batch_tokens):
        run_or_halve(batch)


def fitting_batch(taps: Taps, window: int, batch_tokens: int) -> int:
    """The largest of ``batch_tokens``, half of it, … with which a forward pass fits into the device's memory.

    Raises:
        UsageError: not even one window fits.
    """
    tokens = batch_tokens
    while True:
        rows = max(1, tokens // window)
        ids = torch.zeros((rows, window), dtype=torch.long, device=taps.device)
        try:
            taps.run(ids, lambda activations: None)
            return tokens
        except torch.cuda.OutOfMemoryError:
            if rows == 1:
                raise UsageError(_does_not_fit(taps, window)) from None
        torch.cuda.empty_cache()
        tokens //= 2


def _does_not_fit(taps: Taps, tokens: int) -> str:
    return (
        f"one window of {tokens} tokens does not fit into the memory of {taps.device}: use device: cpu, "
        "or a smaller window"
    )
