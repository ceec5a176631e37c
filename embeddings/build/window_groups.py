"""What the points of a projection are coloured by: a unit's activation in a window, or whether the window is new."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.index.stored_results import digest_of, read_table, write_table
from corpus_audit.embeddings.lookup.compare_units import check_comparable
from corpus_audit.embeddings.lookup.corpus_pass import corpus_values
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.tables.embedding_tables import WINDOW_PEAKS
from corpus_audit.schemas.units import Unit


def window_peaks(index: Index, unit: Unit, most: int, model: str | None = None) -> np.ndarray:
    """A unit's highest activation in each window that a projection of ``most`` windows draws, float32 [N].

    The model runs over the windows when this is first needed; the result is kept in ``.projections`` beside the index.

    Raises:
        UnitError: there is no such unit.
        UsageError: the index has no vectors, or the model is not the index's.
        ModuleNotFoundError: the extra is not installed.
    """
    index.row_of(unit)
    names = np.asarray(index.array("vector.window")[:most] if index.facts.vectors else [])
    provenance = {
        "unit": str(unit), "windows": len(names), "model": index.facts.model["digest"], "scan": index.facts.scan,
        "snapshot": index.facts.snapshot, "index": index.folder.name,
    }  # fmt: skip
    name = f"{unit}".replace(":", "_")
    path = index.folder.parent / ".projections" / f"{index.folder.name}-{name}-{digest_of(provenance)[:16]}.parquet"
    stored = read_table(path, WINDOW_PEAKS, provenance)
    if stored is not None:
        peaks: np.ndarray = stored.table["value"].to_numpy()
        return peaks
    values = corpus_values(index, [unit], most, model)
    masked = np.where(values.windows.counted, values.values[:, 0], -np.inf)
    peaks = np.maximum.reduceat(masked, values.windows.offsets[:-1]).astype(np.float32)
    write_table(path, pa.table({"window": pa.array(names), "value": peaks}, WINDOW_PEAKS), provenance)
    return peaks


def new_windows(before: Index, index: Index, most: int) -> np.ndarray:
    """Whether each window that a projection of ``most`` windows draws is not in an earlier index, bool [N].

    A window is the same in both if its document's id and text and its number are: an edited document has new windows.

    Raises:
        UsageError: the indexes cannot be compared, or the earlier one has vectors of fewer windows.
    """
    check_comparable(before, index)
    if before.facts.vectors is None or index.facts.vectors is None:
        raise UsageError("both indexes need vectors of windows (embedding.vectors)")
    if index.facts.vectors["one_in"] % before.facts.vectors["one_in"]:
        raise UsageError(
            f"{before.folder} has vectors of one window in {before.facts.vectors['one_in']}, and {index.folder} of one "
            f"in {index.facts.vectors['one_in']}: which windows are new cannot be said"
        )
    return ~np.isin(index.array("vector.window")[:most], before.array("vector.window"))
