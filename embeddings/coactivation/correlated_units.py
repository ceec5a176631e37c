"""Units that correlate with a unit over the tokens of a sample of the corpus, not only at their strongest examples.

The sample are the stored windows that have vectors, chosen by hash; the model runs over them. The result is kept beside
the index, in ``.correlations/INDEX/POINT/``, in a file that is named by the digest of everything that decides it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.coactivation.correlation_moments import GROUPS, CorrelationMoments
from corpus_audit.embeddings.index.rates import LEAST_DOCUMENTS
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.index.stored_results import digest_of, read_table, results_folder, write_table
from corpus_audit.embeddings.lookup.corpus_pass import corpus_values, each_batch, sample_of_windows
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.tables.index_result_tables import CORRELATIONS
from corpus_audit.schemas.units import Unit, parse_unit

FORMAT = "corpus-audit/correlations/1"
Q = 0.05


@dataclass(frozen=True, slots=True)
class CorrelatedUnit:
    """A unit's correlation with another.

    Attributes:
        unit: its address.
        r: Pearson's, over tokens.
        low, high: the 95 % interval, documents as clusters; NaN where there is none.
        p: of no correlation; NaN where there is no interval.
        q: p adjusted for all units that were compared (Benjamini and Hochberg 1995).
    """

    unit: Unit
    r: float
    low: float
    high: float
    p: float
    q: float

    @property
    def least(self) -> float:
        """The end of the interval that is nearer to 0, without its sign; 0 where the interval contains 0."""
        return max(self.low, -self.high, 0.0) if self.q <= Q else 0.0


@dataclass(frozen=True)
class CorrelationResult:
    """Correlations of one unit with all units that vary in the sample.

    Attributes:
        units: those with an interval clear of 0 and a q of 5 % at most, the interval's end nearer to 0 descending; then
            the others by the size of r.
        constant: how many were left out, as they do not vary on the tokens of the sample.
        certain: how many of ``units`` are of the first kind.
        windows, documents, tokens: of the sample; tokens are those that count.
        of_corpus: the sample's share of the corpus's windows.
        provenance: everything that decides the result; JSON.
        cached: whether it was read from its file.
    """

    units: list[CorrelatedUnit]
    constant: int
    certain: int
    windows: int
    documents: int
    tokens: int
    of_corpus: float
    provenance: dict[str, Any]
    cached: bool


def correlated_units(
    index: Index, unit: str | Unit, rows: np.ndarray, most: int = 2000, model: str | None = None
) -> CorrelationResult:
    """Correlate a unit with others over the tokens of sampled windows, or read the result from its file.

    Memory is `GROUPS` groups of documents by the number of units, three numbers each: 1.5 KB a unit.

    Args:
        index: the index.
        unit: the unit.
        rows: of the units that it is compared with, int64 ascending; its own row is left out.
        most: windows at most, those of lowest name, which is a hash.
        model: path of the model, if it has moved since the index was made.

    Raises:
        UnitError: there is no such unit.
        UsageError: the unit does not vary on the sample; the index has no vectors; or the model is not the index's.
        ModuleNotFoundError: the extra is not installed.
    """
    address = parse_unit(unit) if isinstance(unit, str) else unit
    own = index.row_of(address)
    rows = rows[rows != own]
    table_rows, windows = sample_of_windows(index, most)
    provenance = _provenance(index, address, rows, len(windows))
    folder = results_folder(index.folder, "correlations") / str(address.point)
    path = folder / f"{address.index}-{digest_of(provenance)[:16]}.parquet"
    stored = read_table(path, CORRELATIONS, provenance)
    keys = index.windows["document"].take(pa.array(table_rows)).to_pylist()
    number = {key: i for i, key in enumerate(sorted(set(keys)))}
    document = np.array([number[key] for key in keys], np.int64)
    if stored is not None and len(stored.table) == len(rows):
        r, low, high, p = (stored.table[name].to_numpy() for name in ("r", "low", "high", "p"))
    else:
        r, low, high, p = _correlate(index, address, rows, windows, document, len(number), most, model)
        every = list(index.units())
        columns = {"unit": [str(every[row]) for row in rows.tolist()], "r": r, "low": low, "high": high, "p": p}
        write_table(path, pa.table(columns, CORRELATIONS), provenance)
    return CorrelationResult(
        *_ordered(index, rows, r, low, high, p),
        windows=len(windows),
        documents=len(number),
        tokens=int(windows.counted.sum()),
        of_corpus=len(windows) / max(index.facts.counts["windows"], 1),
        provenance=provenance,
        cached=stored is not None,
    )


def _correlate(
    index: Index, unit: Unit, rows: np.ndarray, windows: Any, document: np.ndarray, documents: int, most: int,
    model: str | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """r, low, high and p of every row, by one pass for the unit and one for all others."""
    values = corpus_values(index, [unit], most, model).values[:, 0]
    of_token = np.repeat(document, windows.lengths)
    lengths = np.bincount(of_token[windows.counted], minlength=documents)
    moments = CorrelationMoments(len(rows), lengths)
    moments.add_unit(of_token, values, windows.counted)
    if np.ptp(values[windows.counted], axis=0) == 0:
        raise UsageError(f"{unit} has the same activation on all {int(windows.counted.sum()):,} tokens of the sample")
    wanted = np.zeros(len(index.array("indices")), bool)
    wanted[rows] = True
    column = np.cumsum(wanted) - 1

    def visit(batch: np.ndarray, first: int, activations: np.ndarray) -> None:
        own = np.flatnonzero(wanted[first : first + activations.shape[-1]])
        if len(own):
            at = windows.offsets[batch][:, None] + np.arange(activations.shape[1])
            others = activations if len(own) == activations.shape[-1] else activations[..., own]
            moments.add_others(document[batch], values[at], windows.counted[at], column[first + own], others)

    points = [point for point in index.widths if wanted[index.rows_of(point, np.arange(index.widths[point]))].any()]
    each_batch(index, windows, points, visit, model)
    result = moments.result(LEAST_DOCUMENTS)
    return result.r, result.low, result.high, result.p


def _ordered(
    index: Index, rows: np.ndarray, r: np.ndarray, low: np.ndarray, high: np.ndarray, p: np.ndarray
) -> tuple[list[CorrelatedUnit], int, int]:
    q = benjamini_hochberg(p)
    every = list(index.units())
    varies = np.flatnonzero(np.isfinite(r)).tolist()
    units = [
        CorrelatedUnit(every[rows[i]], float(r[i]), float(low[i]), float(high[i]), float(p[i]), float(q[i]))
        for i in varies
    ]
    units.sort(key=lambda each: (-each.least, -abs(each.r)))
    return units, len(rows) - len(varies), sum(each.least > 0 for each in units)


def _provenance(index: Index, unit: Unit, rows: np.ndarray, windows: int) -> dict[str, Any]:
    model = index.facts.model
    return {
        "format": FORMAT,
        "unit": str(unit),
        "with": hashlib.sha256(np.asarray(rows, "<i8").tobytes()).hexdigest(),
        "windows": windows,
        "groups": GROUPS,
        "least_documents": LEAST_DOCUMENTS,
        "model": {"name": model["name"], "digest": model["digest"], "tokenizer": model["tokenizer"]},
        "snapshot": index.facts.snapshot,
        "scan": index.facts.scan,
        "index": index.folder.name,
    }
