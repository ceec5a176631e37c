"""Windows that are run once more in float32, after the scan: to check what is stored, or to correct it.

A scan in float32 is checked: of the windows that hold an example, one in `ONE_IN` is run again, and what is stored of
it must come out, within `TOLERANCE` of the unit's largest value (batches of another shape differ by 1e-5). A scan in
bfloat16 keeps twice the examples as candidates; all their windows are run again, and the lists are made anew from what
float32 says. That a window outside of them belongs into a list is not ruled out, but bounded by what was seen: a list
is *complete by the margin* if its last value exceeds the last candidate's by more than any candidate of the unit moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.embeddings.index.topk import SlotLists
from corpus_audit.embeddings.scan.accumulator import Accumulator, ListSizes
from corpus_audit.schemas.errors import AuditError

ONE_IN = 32
"""Of how many windows one is run again after a scan in float32."""

TOLERANCE = 1e-4
CELLS = 1 << 22
"""Pairs of slots that are compared at once."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Results of running windows again.

    Attributes:
        windows: that were run again; records: stored examples in them that were compared.
        largest: by how much a stored value differs at most, over the largest of its unit.
        complete: share of units whose top list is complete by the margin; None after a scan in float32, which leaves
            nothing out.
    """

    windows: int
    records: int
    largest: float
    complete: float | None

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def members(windows: pa.Table, documents: pa.Table, domains: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Windows with each domain that their document is in: rows of the table and positions in ``domains``, int64 [P]."""
    rows = pa.table({"row": np.arange(len(windows)), "document": windows["document"]})
    known = documents.select(["document", "domain"]).group_by(["document", "domain"]).aggregate([])
    found = rows.join(known, "document", join_type="inner")
    place = pc.index_in(found["domain"], pa.array(domains, pa.string())).to_numpy()
    row = found["row"].to_numpy()
    order = np.lexsort((place, row))
    return row[order], place[order].astype(np.int64)


def check(stored: Accumulator, anew: Accumulator, chosen: np.ndarray) -> Verified:
    """Compare what a float32 scan stored with the same windows run again.

    Args:
        stored: of the whole corpus.
        anew: of the chosen windows alone.
        chosen: uint64 ascending.

    Raises:
        AuditError: a stored example does not come out again.
    """
    largest, records = 0.0, 0
    for old, new in _lists(stored, anew):
        here = old.filled & np.isin(old.window, chosen)
        gone = _moves(old, new, here) / _scale(stored)[:, None]
        records += int(here.sum())
        largest = max(largest, float(gone[here].max(initial=0.0)))
    if not largest <= TOLERANCE:
        raise AuditError(
            f"activations do not come out again when their windows are run once more: they differ by {largest:.2g} of "
            f"the unit's largest, where rounding explains {TOLERANCE:g}. The scan is not to be trusted: remove "
            "activations/ in the store and run it again"
        )
    return Verified(len(chosen), records, largest, None)


def correct(stored: Accumulator, anew: Accumulator, chosen: np.ndarray) -> tuple[Accumulator, Verified]:
    """The scan's statistics with lists of what float32 says of its candidates; arguments as for `check`."""
    largest, records = 0.0, 0
    for old, new in _lists(stored, anew):
        both = _moves(old, new, old.filled, same_window=True)
        seen = np.isfinite(both)
        records += int(seen.sum())
        largest = max(largest, float((both / _scale(stored)[:, None])[seen].max(initial=0.0)))
    arrays = stored.arrays() | {
        name: array
        for name, array in anew.arrays().items()
        if name.split(".")[0] in ("top", "minima", "samples", "domain")
    }
    made = Accumulator.from_arrays(arrays, anew.sizes, stored.floors, stored.domains)
    return made, Verified(len(chosen), records, largest, float(_complete(stored.top, anew.top).mean()))


def _complete(candidates: SlotLists, top: SlotLists) -> np.ndarray:
    """Which lists no window outside of the candidates can enter, if none moves more than those did; bool [R]."""
    moved = _moves(candidates, top, candidates.filled, same_window=True)
    most = np.where(np.isfinite(moved), moved, 0.0).max(axis=1)
    return np.asarray(~candidates.filled[:, -1] | (top.value[:, -1] >= candidates.value[:, -1] + most))


def doubled(sizes: ListSizes) -> ListSizes:
    """Slots of candidates."""
    return replace(sizes, **{name: 2 * size for name, size in asdict(sizes).items()})


def _lists(stored: Accumulator, anew: Accumulator) -> Iterator[tuple[SlotLists, SlotLists]]:
    yield stored.top, anew.top
    yield stored.minima, anew.minima
    yield from zip(stored.by_domain, anew.by_domain, strict=True)


def _scale(state: Accumulator) -> np.ndarray:
    """The largest absolute value among each unit's highest and lowest examples, float64 [R]; 1 where there is none."""
    both = [np.abs(np.where(each.filled, each.value, 0.0)) for each in (state.top, state.minima)]
    found = np.concatenate(both, axis=1).max(axis=1, initial=0.0)
    return np.where(found > 0, found, 1.0)


def _moves(old: SlotLists, new: SlotLists, here: np.ndarray, same_window: bool = False) -> np.ndarray:
    """How far the values of slots are from those in other lists, float64 [R, k].

    The same example has the window, or, where windows are nearly equal, the context (``same_window``: not that). One
    that is not there may have been pushed out by its equals, if the other list is full: then the distance is from its
    last value. Otherwise it is infinite, as it is where ``here`` is not.
    """
    found = np.full(old.value.shape, np.inf)
    rows = np.flatnonzero(here.any(axis=1)) if new.k else np.empty(0, np.int64)
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
        found[part] = np.where(here[part], nearest, np.inf)
    return found
