"""What a reader of an index gets: an example with its text, tokens and documents, and a unit's rates in a domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.mapped_tables import DocumentLocation
from corpus_audit.embeddings.index.rates import Rates, firing_rates, rates

EMPTY = 2**64 - 1
"""The window of an empty slot."""

Which = Literal["top", "minima", "samples"]


@dataclass(frozen=True)
class Example:
    """A window in which a unit fires.

    Attributes:
        rank: its rank in the list, from 0; of a sample, the bin of its value.
        value: the activation at the peak; of a minimum, the lowest.
        window, number: name of the window, and which of its document it is.
        position: the peak's token within the window as the model sees it.
        text: from the window's first to its last token; text_start: code points of the document before it.
        starts, ends: int32 [T], code points of the text where each token starts and ends; -1 for special tokens.
        heat: float32 [T], activation of every token; None where it was not stored or computed.
        locations: where the document is in the corpus; several if it is there several times.
        tokens: int32 [T], token ids as the model sees them, special ones included.
        counted: bool [T], whether a token may be an example.
    """

    rank: int
    value: float
    window: int
    number: int
    position: int
    text: str
    text_start: int
    starts: np.ndarray
    ends: np.ndarray
    heat: np.ndarray | None
    locations: tuple[DocumentLocation, ...]
    tokens: np.ndarray
    counted: np.ndarray

    @property
    def peak(self) -> tuple[int, int]:
        """Code points of the text where the peak's token starts and ends."""
        return int(self.starts[self.position]), int(self.ends[self.position])

    @property
    def token_texts(self) -> list[str | None]:
        """The text of each token, [T]; None for special tokens around the text."""
        spans = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [self.text[start:end] if start >= 0 else None for start, end in spans]


def examples_table(examples: Sequence[Example]) -> pa.Table:
    """Examples as an Arrow table, one a row, for notebooks: ``examples_table(index.lookup(unit)).to_pandas()``.

    Columns: rank, value, window, position, token (at the peak), text, document, domain, shard, row, token_ids,
    token_texts (null for special tokens), and heat (null where it was not stored or computed).
    """
    firsts = [example.locations[0] if example.locations else None for example in examples]
    columns: dict[str, pa.Array] = {
        "rank": pa.array([example.rank for example in examples], pa.int32()),
        "value": pa.array([example.value for example in examples], pa.float64()),
        "window": pa.array([example.window for example in examples], pa.uint64()),
        "position": pa.array([example.position for example in examples], pa.int32()),
        "token": pa.array([example.text[slice(*example.peak)] for example in examples], pa.string()),
        "text": pa.array([example.text for example in examples], pa.string()),
        "document": pa.array([first and first.id for first in firsts], pa.string()),
        "domain": pa.array([first and first.domain for first in firsts], pa.string()),
        "shard": pa.array([first and first.shard for first in firsts], pa.string()),
        "row": pa.array([first and first.row for first in firsts], pa.int64()),
        "token_ids": pa.array([example.tokens.tolist() for example in examples], pa.list_(pa.int32())),
        "token_texts": pa.array([example.token_texts for example in examples], pa.list_(pa.string())),
        "heat": pa.array(
            [None if example.heat is None else example.heat.tolist() for example in examples], pa.list_(pa.float32())
        ),
    }
    return pa.table(columns)


@dataclass(frozen=True, slots=True)
class DomainRate:
    """How often and how strongly a unit fires in a domain; None where there are too few documents for an interval."""

    domain: str
    tokens: int
    fired: int
    rate: float
    rate_interval: tuple[float, float] | None
    mean: float
    mean_interval: tuple[float, float] | None


def domain_rate(name: str, fired: np.ndarray, total: np.ndarray, tokens: np.ndarray, documents: int) -> DomainRate:
    """The rates of one unit in a domain.

    Args:
        name: of the domain.
        fired, total, tokens: [G], by hash group of documents.
        documents: how many the domain has.
    """
    rate = firing_rates(np.asarray(fired, np.int64)[:, None], tokens, documents)
    mean = rates(np.asarray(total, np.float64)[:, None], np.asarray(tokens, np.float64))
    return DomainRate(
        name, int(tokens.sum()), int(fired.sum()), float(rate.value[0]), _interval(rate), float(mean.value[0]),
        _interval(mean),
    )  # fmt: skip


def _interval(rate: Rates) -> tuple[float, float] | None:
    low, high = float(rate.low[0]), float(rate.high[0])
    return None if np.isnan(low) else (low, high)
