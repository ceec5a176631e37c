"""What of a scan's arrays and windows is stored in an index, in as few bytes as its numbers need.

A slot names its window by the row of the table of windows instead of by its 64-bit name, and has no context hash, which
follows from the window's tokens. Counts take the smallest unsigned type that holds the largest of them, sums float32.
Token ids and positions within a text take 16 bits where they fit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LISTS = ("top", "domain", "minima", "samples")
"""Names of the lists of slots."""

_NARROW = {"tokens": pa.uint16(), "starts": pa.int16(), "ends": pa.int16()}
"""Types of the lists of a window's tokens where all numbers of the index fit."""


def compact(arrays: Mapping[str, np.ndarray], windows: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of a scan as they are stored.

    Args:
        arrays: by name, as `ActivationAccumulator.arrays` gives them, and others, which stay as they are.
        windows: names of the stored windows, uint64 [V] ascending; a list names no others.
    """
    stored: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        of_list, _, part = name.rpartition(".")
        if of_list in LISTS and part == "context":
            continue
        if of_list in LISTS and part == "window":
            stored[f"{of_list}.row"] = _rows(array, windows)
        elif name in ("fired", "histogram") or (of_list in LISTS and part == "position"):
            stored[name] = array.astype(np.min_scalar_type(int(array.max(initial=0))))
        else:
            stored[name] = array.astype(np.float32) if name == "total" else array
    return stored


def compact_windows(windows: pa.Table) -> pa.Table:
    """Windows in the schema WINDOWS as they are stored: lists of 16-bit numbers where every number fits."""
    for name, narrow in _NARROW.items():
        limits = np.iinfo(str(narrow))
        column = windows[name]
        range_ = pc.min_max(pc.list_flatten(column)).as_py()
        if range_["min"] is None or (range_["min"] >= limits.min and range_["max"] <= limits.max):
            at = windows.schema.get_field_index(name)
            kept = windows.schema.field(at).with_type(pa.list_(narrow))
            windows = windows.set_column(at, kept, column.cast(kept.type))
    return windows


def _rows(names: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Rows of windows in the table of V windows, in the smallest type that holds V, which stands for an empty slot."""
    empty = names == np.uint64(2**64 - 1)
    rows = np.searchsorted(windows, names)
    assert (windows[rows[~empty]] == names[~empty]).all()
    return np.where(empty, len(windows), rows).astype(np.min_scalar_type(len(windows)))
