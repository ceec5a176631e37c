"""The tests of one slice, all documents or a domain: its distances, its edits and its tokens, as rows of tables."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.drift import rows
from corpus_audit.pipelines.drift.edited_documents import TANGLED_COPIES, EditedDocuments, edits_alone
from corpus_audit.pipelines.drift.texts import Examples
from corpus_audit.pipelines.statistics.drift.permutation import (
    PERMUTATIONS,
    STATISTICS,
    Distance,
    DriftSummary,
    drift_summary,
    without_tokens,
)
from corpus_audit.pipelines.statistics.drift.token_drift import FALLER, OTHER, RISER, TokenDrift, token_drift
from corpus_audit.pipelines.statistics.drift.token_sample import TokenContrast
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS


@dataclass(frozen=True)
class SliceRows:
    """Rows of tables DRIFT, DRIFT_TOKENS and, where there are any, DRIFT_EDITS for one slice."""

    summary: pa.Table
    tokens: pa.Table
    edits: pa.Table | None


@dataclass(frozen=True)
class SliceTests:
    """What the slices of a comparison have in common.

    Attributes:
        label: what the tables call the baseline.
        examples: what tokens decode to, for either run.
        edited: the edited documents with both versions; why they are not known, or None where there are none.
    """

    label: str
    examples: tuple[Examples, Examples]
    edited: EditedDocuments | str | None

    def with_edits(self, name: str, contrast: TokenContrast, reason: str | None) -> TokenContrast:
        """The contrast of a slice with its edited documents apart, as far as they and the hash groups are known."""
        return (
            self.edited.apart(name, contrast) if isinstance(self.edited, EditedDocuments) and not reason else contrast
        )

    def rows(
        self, name: str, contrast: TokenContrast, reason: str | None, workers: int
    ) -> tuple[SliceRows, TokenDrift]:
        """The rows of one slice: its distances, those of its edited documents' two versions from each other, and the
        tokens that moved; and the tokens as they were tested.

        Where there is a ``reason`` why no test would be right (the overlap, or how documents cluster, is not known),
        the rows have values alone.

        Args:
            name: the domain, or `ALL_DOMAINS`.
            contrast: from `with_edits`.
            reason: why nothing can be tested, else None.
            workers: threads.
        """
        if reason is None:
            summary = drift_summary(contrast, PERMUTATIONS, workers=workers)
        else:
            summary = _values_only(contrast, reason)
        moved = shown = token_drift(contrast)
        if reason is not None:
            nothing = np.full(len(moved.tokens), np.nan)
            kind = np.where(np.isin(moved.kind, (RISER, FALLER)), OTHER, moved.kind).astype(np.uint8)
            shown = replace(moved, kind=kind, z=nothing, log_odds_z=nothing, p=nothing, q=nothing)
            shown = replace(shown, low=nothing, high=nothing, design_effect=nothing)
        made = SliceRows(
            rows.summary_rows(self.label, name, contrast, summary),
            rows.token_rows(self.label, name, shown, self.examples, everything=name == ALL_DOMAINS),
            self._edit_rows(name, contrast, reason, workers),
        )
        return made, moved

    def _edit_rows(self, name: str, contrast: TokenContrast, reason: str | None, workers: int) -> pa.Table | None:
        if contrast.edited is not None and isinstance(self.edited, EditedDocuments):
            versions = edits_alone(contrast.tokens, contrast.edited)
            alone = drift_summary(versions, PERMUTATIONS, workers=workers)
            return rows.edit_rows(self.label, name, self.edited.used(name), versions, alone)
        if name == ALL_DOMAINS and self.edited is not None:
            why = self.edited if isinstance(self.edited, str) else reason or TANGLED_COPIES
            return rows.untested_edit_rows(self.label, why)
        return None

    def each(
        self, domains: Iterable[tuple[str, TokenContrast]], reason: str | None, workers: int
    ) -> Iterator[tuple[str, TokenContrast, SliceRows]]:
        """Name, contrast with its edits apart (`TokenContrast.without_groups`), and rows of every domain, in order.

        Domains are computed at once, as many as there are workers: that the next one is read by this thread counts as
        one of them, so no more contrasts than that are in memory.
        """
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            pending: deque[Future[tuple[str, TokenContrast, SliceRows]]] = deque()
            for name, contrast in domains:
                pending.append(pool.submit(self._one, name, contrast, reason))
                del contrast
                while len(pending) >= max(workers, 1):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _one(self, name: str, contrast: TokenContrast, reason: str | None) -> tuple[str, TokenContrast, SliceRows]:
        apart = self.with_edits(name, contrast, reason)
        of_domain, _ = self.rows(name, apart, reason, workers=1)
        return name, apart.without_groups(), of_domain


def _values_only(contrast: TokenContrast, reason: str) -> DriftSummary:
    """The six distances without nulls, and why there are none."""
    baseline, current = contrast.counts
    before, now = bool(baseline.any()), bool(current.any())
    comparable = before and now
    distances = {
        name: Distance(name, float(function(baseline, current)) if comparable else None)
        for name, function in STATISTICS.items()
    }
    return DriftSummary(distances, 0, None, None, reason if comparable else without_tokens(before, now))
