"""The unique documents and tokens of each domain of a run, from its duplicates table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.statistics.intervals.clustered import Integers
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS


@dataclass(frozen=True, slots=True)
class DomainContents:
    """Documents and tokens of the G domains of a run, with and without duplicates within a domain.

    Attributes:
        names: the domains, in the order of table ``duplicates``.
        tokens: tokens, duplicates included, int64 [G].
        documents: documents, duplicates included, int64 [G].
        unique_tokens, unique_documents: of distinct texts, int64 [G].
    """

    names: list[str]
    tokens: Integers
    documents: Integers
    unique_tokens: Integers
    unique_documents: Integers

    @classmethod
    def of(cls, duplicates: pa.Table) -> DomainContents:
        """The contents that table ``duplicates`` states."""
        rows = duplicates.filter(pc.not_equal(duplicates["domain"], ALL_DOMAINS))
        columns = ("tokens", "documents", "distinct_tokens", "distinct")
        return cls(rows["domain"].to_pylist(), *(rows[name].to_numpy() for name in columns))

    def with_absent(self, names: Sequence[str]) -> DomainContents:
        """A copy with an empty domain for every name that is missing."""
        known = set(self.names)
        absent = [name for name in dict.fromkeys(names) if name not in known]
        pad = (0, len(absent))
        return DomainContents(
            self.names + absent,
            np.pad(self.tokens, pad),
            np.pad(self.documents, pad),
            np.pad(self.unique_tokens, pad),
            np.pad(self.unique_documents, pad),
        )
