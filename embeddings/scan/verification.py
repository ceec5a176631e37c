"""Runs windows again in float32 after the scan, to check the stored examples or to correct them.

A scan in float32 is checked: of the windows that hold an example, one in `ONE_IN` is run again, and the stored values
must come out again, within `TOLERANCE` of the unit's largest value (batches of another shape differ by 1e-5). Where a
decision stands before a unit (a router's choice, a latent's threshold), rounding can turn a near tie the other way, and
the unit's activations jump: such examples are counted, and tolerated in a few windows.

A scan in bfloat16 keeps twice the examples as candidates; all their windows are run again, and the lists are made again
from the values in float32. It is not ruled out that a window that was no candidate belongs in a list, but it is bounded
by how far candidates moved: a list is *complete by the margin* if its last value exceeds the last candidate's by more
than any candidate of the unit moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.embeddings.index.topk import SlotLists
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, ListSizes
from corpus_audit.schemas.errors import AuditError

ONE_IN = 32
"""One window in so many is run again after a scan in float32."""

TOLERANCE = 1e-4
FLIPPED = 0.02
FEW = 2
"""Share of the windows, and a number that is always tolerated, in which decisions may fall otherwise."""

CELLS = 1 << 22
"""Pairs of slots that are compared at once."""


@dataclass(frozen=True, slots=True)
class RescanResult:
    """Results of running windows again.

    Attributes:
        windows: that were run again; records: stored examples in them that were compared.
        largest: by how much a stored value differs at most, over the largest of its unit; ``flipped`` ones left out.
        flipped, flipped_windows: records, and windows with such, that differ by more because a router or a threshold
            decided otherwise the second time.
        complete: share of units whose top list is complete by the margin; None after a scan in float32, which leaves
            nothing out.
    """

    windows: int
    records: int
    largest: float
    complete: float | None
    flipped: int = 0
    flipped_windows: int = 0

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def members(windows: pa.Table, documents: pa.Table, domains: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Windows with each domain that their document is in: rows of the table and positions in ``domains``, int64 [P]."""
    rows = pa.table({"row": np.arange(len(windows)), "document": windows["document"]})
    known = documents.select(["document", "domain"]).group_by(["document", "domain"]).aggregate([])
    joined = rows.join(known, "document", join_type="inner")
    domain_index = pc.index_in(joined["domain"], pa.array(domains, pa.string())).to_numpy()
    row = joined["row"].to_numpy()
    order = np.lexsort((domain_index, row))
    return row[order], domain_index[order].astype(np.int64)


def check(
    stored: ActivationAccumulator,
    again: ActivationAccumulator,
    windows: np.ndarray,
    decided: np.ndarray | None = None,
) -> RescanResult:
    """Compare what a float32 scan stored with the same windows run again.

    Args:
        stored: of the whole corpus.
        again: of the windows that were run again.
        windows: their names, uint64 ascending.
        decided: bool [R], units behind a decision that rounding can turn (`Taps.decided`); None: none are.

    Raises:
        AuditError: a stored example does not come out again, of a unit behind no decision, or in too many windows.
    """
    scale = _scale(stored)[:, None]
    largest, worst, records, flipped = 0.0, 0.0, 0, 0
    flipped_windows: set[int] = set()
    for old, new in _lists(stored, again):
        compared = old.filled & np.isin(old.window, windows)
        differences = _moves(old, new, compared) / scale
        records += int(compared.sum())
        tolerated = np.zeros(compared.shape, bool)
        if decided is not None:
            tolerated = compared & decided[:, None] & ~(differences <= TOLERANCE)
            flipped += int(tolerated.sum())
            flipped_windows.update(old.window[tolerated].tolist())
            worst = max(worst, float(differences[tolerated].max(initial=0.0)))
        largest = max(largest, float(differences[compared & ~tolerated].max(initial=0.0)))
    if len(flipped_windows) > max(FEW, FLIPPED * len(windows)):
        largest = max(largest, worst)
    if not largest <= TOLERANCE:
        raise AuditError(
            f"the stored activations are not reproduced when their windows are run again: they differ by "
            f"{largest:.2g} of the unit's largest, and rounding explains {TOLERANCE:g}. The scan cannot be trusted: "
            "remove activations/ from the store and run the command again"
        )
    return RescanResult(len(windows), records, largest, None, flipped, len(flipped_windows))


def correct(
    stored: ActivationAccumulator, again: ActivationAccumulator, windows: np.ndarray
) -> tuple[ActivationAccumulator, RescanResult]:
    """The scan's statistics with lists of its candidates' float32 values; arguments as for `check`."""
    largest, records = 0.0, 0
    for old, new in _lists(stored, again):
        differences = _moves(old, new, old.filled, same_window=True)
        compared = np.isfinite(differences)
        records += int(compared.sum())
        largest = max(largest, float((differences / _scale(stored)[:, None])[compared].max(initial=0.0)))
    arrays = stored.arrays() | {
        name: array
        for name, array in again.arrays().items()
        if name.split(".")[0] in ("top", "minima", "samples", "domain")
    }
    corrected = ActivationAccumulator.from_arrays(arrays, again.sizes, stored.floors, stored.domains)
    return corrected, RescanResult(len(windows), records, largest, float(_complete(stored.top, again.top).mean()))


def _complete(candidates: SlotLists, top: SlotLists) -> np.ndarray:
    """Which lists no window outside of the candidates can enter, if none moves more than those did; bool [R]."""
    moved = _moves(candidates, top, candidates.filled, same_window=True)
    most = np.where(np.isfinite(moved), moved, 0.0).max(axis=1)
    return np.asarray(~candidates.filled[:, -1] | (top.value[:, -1] >= candidates.value[:, -1] + most))


def doubled(sizes: ListSizes) -> ListSizes:
    """The list sizes of a bfloat16 scan: twice as many slots, for candidates."""
    return replace(sizes, **{name: 2 * size for name, size in asdict(sizes).items()})


def _lists(stored: ActivationAccumulator, again: ActivationAccumulator) -> Iterator[tuple[SlotLists, SlotLists]]:
    yield stored.top, again.top
    yield stored.minima, again.minima
    yield from zip(stored.by_domain, again.by_domain, strict=True)


def _scale(state: ActivationAccumulator) -> np.ndarray:
    """The largest absolute value among each unit's highest and lowest examples, float64 [R]; 1 where there is none."""
    both = [np.abs(np.where(each.filled, each.value, 0.0)) for each in (state.top, state.minima)]
    largest = np.concatenate(both, axis=1).max(axis=1, initial=0.0)
    return np.where(largest > 0, largest, 1.0)


def _moves(old: SlotLists, new: SlotLists, included: np.ndarray, same_window: bool = False) -> np.ndarray:
    """How far the values of slots are from those in other lists, float64 [R, k].

    1. Slots hold the same example if they have the same window. Unless ``same_window``, the same context counts too:
       where two windows have nearly equal values, either may represent the context.
    2. An example that is missing from the other list may have been pushed out by its equals, if that list is full:
       the distance is then from the list's last value.
    3. Otherwise the distance is infinite, as it is in slots that are not ``included``.
    """
    moves = np.full(old.value.shape, np.inf)
    rows = np.flatnonzero(included.any(axis=1)) if new.k else np.empty(0, np.int64)
    for part in np.array_split(rows, 1 + len(rows) * old.k * new.k // CELLS) if len(rows) else ():
        same = old.window[part][:, :, None] == new.window[part][:, None, :]
        if not same_window:
            same |= old.context[part][:, :, None] == new.context[part][:, None, :]
        same &= new.filled[part][:, None, :]
        before, after = (np.where(each.filled, each.value, 0.0)[part].astype(np.float64) for each in (old, new))
        nearest = np.where(same, np.abs(before[:, :, None] - after[:, None, :]), np.inf).min(axis=2)
        if not same_window:
            pushed = np.maximum(before - after[:, -1:], 0.0)
            nearest = np.where(np.isinf(nearest) & new.filled[part][:, -1:], pushed, nearest)
        moves[part] = np.where(included[part], nearest, np.inf)
    return moves
