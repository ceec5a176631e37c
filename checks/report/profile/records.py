"""The parts of a report: plain frozen records, just what the page and the summary show.

What `run.json` says is shown as its own records (`schemas.run.run_file`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["documents", "bytes", "tokens"]
LengthUnit = Literal["characters", "tokens"]


@dataclass(frozen=True)
class Amount:
    """A total in one unit, its share of the corpus, and the share's 95 % interval where there is one."""

    count: int
    share: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ShareRow:
    """A value of a facet. ``folded`` is 0, or the number of values this row sums up; -1 when nobody knows it."""

    name: str
    folded: int
    clusters: int
    documents: Amount
    bytes: Amount
    tokens: Amount
    intended: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None

    def amount(self, unit: Unit) -> Amount:
        """The row's total and share in a unit."""
        return {"documents": self.documents, "bytes": self.bytes, "tokens": self.tokens}[unit]


@dataclass(frozen=True)
class Deviation:
    """A value whose share differs from the intended one, with the 95 % interval of the difference."""

    name: str
    share: float
    intended: float
    difference: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class MixtureComparison:
    """The corpus against the intended mixture, over all values of the primary facet.

    ``distance`` is the total variation distance, half the sum of absolute differences, with its 95 % interval where
    there is one, and None where there is nothing in the unit; ``deviations`` are the largest; ``clear`` of the
    ``compared`` differences have an interval that leaves out 0; ``absent`` were intended and are not in the corpus;
    ``unplanned`` are in the corpus and were not intended, ``unplanned_share`` is their share.
    """

    unit: Unit
    distance: float | None
    distance_low: float | None
    distance_high: float | None
    deviations: tuple[Deviation, ...]
    clear: int
    compared: int
    absent: tuple[str, ...]
    unplanned: tuple[str, ...]
    unplanned_share: float


@dataclass(frozen=True)
class FacetTable:
    """The largest values of a facet other than the primary one, an exact remainder last; shares are of tokens."""

    name: str
    source: str
    values: int
    exact: bool
    rows: tuple[ShareRow, ...]


@dataclass(frozen=True)
class LengthRow:
    """The lengths of a domain's documents.

    ``quantiles`` are those of `tables.QUANTILES`, in order; ``density`` is documents by bin of the panel's axis, scaled
    so that the highest bin is 1; ``longest`` is within 1 % of the longest document.
    """

    name: str
    everything: bool
    documents: int
    mean: float
    quantiles: tuple[float, ...]
    longest: int
    density: tuple[float, ...]


@dataclass(frozen=True)
class LengthPanel:
    """Lengths in one unit on a logarithmic axis from ``low`` to ``high``; ``hidden`` domains are left out."""

    unit: LengthUnit
    low: float
    high: float
    rows: tuple[LengthRow, ...]
    hidden: int


@dataclass(frozen=True)
class DuplicateRow:
    """Exact duplicates of a domain, in documents and tokens; ``folded`` as in `ShareRow`.

    The bounds are of the duplicate share, at 95 %, where the run has them.
    """

    name: str
    folded: int
    everything: bool
    documents: int
    duplicate_documents: int
    across_documents: int
    tokens: int
    duplicate_tokens: int
    across_tokens: int
    documents_low: float | None = None
    documents_high: float | None = None
    tokens_low: float | None = None
    tokens_high: float | None = None


@dataclass(frozen=True)
class VocabularyRow:
    """Token ids that occur in a domain, and the size of an even vocabulary of the same entropy."""

    name: str
    everything: bool
    tokens: int
    types: int
    coverage: float
    effective: float
    effective_low: float | None
    effective_high: float | None


@dataclass(frozen=True)
class OutcomeRow:
    """Rows with one fate and reason."""

    outcome: str
    reason: str
    rows: int


@dataclass(frozen=True)
class ShardRow:
    """A shard, and what became of it."""

    name: str
    status: str
    format: str
    bytes: int
    splits: int
    splits_counted: int
    rows: int
    documents: int
    dead_letters: int
    filtered: int
    error: str
