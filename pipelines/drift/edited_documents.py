"""Documents that were edited between two runs, as pairs for the statistics: from the runs' samples of documents.

The statistics need the tokens of both versions of a document. A run keeps those of a sample, the documents of lowest id
in each domain (`../measures/document_sample.py`): all of them in a domain of up to 1,000 documents, and the same ones
in both runs, as ids choose them. Edited documents that the samples lack stay what they are by bytes, removed and added:
that hides drift rather than showing any, and `EditedDocuments.used` says how many pairs were used of how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.drift.documents.document_tables import DocumentTable, SampledDocuments, codes_of
from corpus_audit.pipelines.drift.documents.turnover import FollowedDocuments
from corpus_audit.pipelines.measures.identities import NO_ID
from corpus_audit.pipelines.statistics.drift.paired_documents import DocumentTokens, edited_pairs, token_groups
from corpus_audit.pipelines.statistics.drift.token_sample import (
    GROUPS,
    EditedPairs,
    Integers,
    TokenContrast,
    TokenSample,
)
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

CLUSTERED = (
    "documents come in clusters, in which edits depend on each other: edited documents count as removed and added"
)
"""Reason of DRIFT_EDITS where a cluster field is set."""

TANGLED_COPIES = (
    "a run of an earlier version counted more copies of some texts as shared than both sides have, so the edited "
    "documents cannot be set apart from them: edited documents count as removed and added"
)
"""Reason of DRIFT_EDITS where the counters of shared documents hold more than the baseline has."""

NOT_SAMPLED = "no edited document is in the samples of both runs: edited documents count as removed and added"
"""Reason of DRIFT_EDITS where the tokens of the versions are not known."""


@dataclass(frozen=True)
class EditedDocuments:
    """P pairs of versions with their tokens.

    Attributes:
        names: domains, which the positions refer to.
        before, current: tokens of the versions, in one order.
        domain_before, domain_current: int64 [P], positions in ``names``.
        groups: int64 [P], hash group of each pair, by its id.
        text_groups: int64 [P] each, hash group of either version by its text, in which the runs' counters have it.
        edited: documents that were edited, by domain, int64 [names], those that changed their domain left out.
        moved: documents that were edited and changed their domain.
    """

    names: Sequence[str]
    before: DocumentTokens
    current: DocumentTokens
    domain_before: Integers
    domain_current: Integers
    groups: Integers
    text_groups: tuple[Integers, Integers]
    edited: Integers
    moved: int

    @classmethod
    def of(cls, followed: FollowedDocuments, samples: tuple[SampledDocuments, SampledDocuments]) -> EditedDocuments:
        """The edited documents of two runs that both samples hold.

        A pair of which a version has the bytes of some document of the other side is left out: copies of one text count
        as shared (`../measures/overlap/shared.py`), whichever document they are.
        """
        pairs, sides = followed.matches.edited, (followed.baseline, followed.current)
        rows = pairs.baseline, pairs.current
        same_domain = sides[0].domain[rows[0]] == sides[1].domain[rows[1]]
        edited = np.zeros(len(followed.names), np.int64)
        np.add.at(edited, sides[1].domain[rows[1]][same_domain], pairs.documents[same_domain])
        positions = [sample.rows_of(side)[at] for sample, side, at in zip(samples, sides, rows, strict=True)]
        copies = _texts_of_both_sides(sides, rows)
        usable = np.flatnonzero((positions[0] >= 0) & (positions[1] >= 0) & ~copies[0] & ~copies[1])
        used = np.repeat(usable, pairs.documents[usable])
        identity, high = sides[1].identity[rows[1][used]], sides[1].high[rows[1][used]]
        keys = np.where(identity == NO_ID, high, identity)
        return cls(
            followed.names,
            _tokens(samples[0]).take(positions[0][used]),
            _tokens(samples[1]).take(positions[1][used]),
            sides[0].domain[rows[0][used]],
            sides[1].domain[rows[1][used]],
            _hash_groups(keys),
            (_hash_groups(sides[0].high[rows[0][used]]), _hash_groups(sides[1].high[rows[1][used]])),
            edited,
            int(pairs.documents[~same_domain].sum()),
        )

    def used(self, name: str) -> tuple[int, int]:
        """Pairs that are used in a slice, and documents that were edited in it."""
        total = int(self.edited.sum()) + self.moved if name == ALL_DOMAINS else int(self.edited[self.names.index(name)])
        return len(self._of(name)), total

    def pairs(self, name: str, tokens: npt.NDArray[np.int32]) -> EditedPairs | None:
        """Counters of the pairs of a slice over token ids that hold all of theirs; None without pairs."""
        rows = self._of(name)
        if not len(rows):
            return None
        return edited_pairs(self.before.take(rows), self.current.take(rows), self.groups[rows], tokens)

    def apart(self, name: str, contrast: TokenContrast) -> TokenContrast:
        """The contrast of a slice with its pairs set apart from the documents of one side alone.

        As it is where there are no pairs, or where a side seems to lack them: runs of earlier versions counted every
        copy of a shared text as shared, so that their shared counters can hold more than was kept.
        """
        pairs = self.pairs(name, contrast.tokens)
        if pairs is None:
            return contrast
        rows = self._of(name)
        versions = self.before.take(rows), self.current.take(rows)
        tables = [token_groups(v, g[rows], contrast.tokens) for v, g in zip(versions, self.text_groups, strict=True)]
        removed = _without(contrast.only_baseline, pairs.before, tables[0])
        added = _without(contrast.only_current, pairs.current, tables[1])
        if not (_is_possible(removed) and _is_possible(added)):
            return contrast
        return replace(contrast, only_baseline=removed, only_current=added, edited=pairs)

    def _of(self, name: str) -> Integers:
        if name == ALL_DOMAINS:
            return np.arange(len(self.groups))
        domain = self.names.index(name) if name in self.names else -1
        return np.flatnonzero((self.domain_before == domain) & (self.domain_current == domain))


def edits_alone(tokens: npt.NDArray[np.int32], pairs: EditedPairs) -> TokenContrast:
    """The contrast of the two versions of edited documents, and of nothing else, over the tokens that they hold."""
    occurring = np.flatnonzero(pairs.before.count + pairs.current.count)
    pairs = pairs.take(occurring)
    nothing = _without(pairs.before, pairs.before, pairs.before.groups)
    return TokenContrast(tokens[occurring], nothing, nothing, nothing, edited=pairs)


def _without(side: TokenSample, part: TokenSample, part_groups: Integers) -> TokenSample:
    return TokenSample(
        side.count - part.count,
        side.documents - part.documents,
        np.maximum(side.squared - part.squared, 0.0),
        np.maximum(side.product - part.product, 0.0),
        side.groups - part_groups,
        side.total_documents - part.total_documents,
        side.total_tokens - part.total_tokens,
        max(side.total_squared - part.total_squared, 0.0),
    )


def _is_possible(sample: TokenSample) -> bool:
    """Whether no counter is below 0."""
    counters = sample.count, sample.documents, sample.groups
    return sample.total_documents >= 0 and sample.total_tokens >= 0 and all((each >= 0).all() for each in counters)


def _hash_groups(high: npt.NDArray[np.uint64]) -> Integers:
    """As in `measures.base.Block.groups`."""
    return (high >> np.uint64(56)).astype(np.int64) % GROUPS


def _tokens(sample: SampledDocuments) -> DocumentTokens:
    return DocumentTokens(sample.ids, sample.starts)


def _texts_of_both_sides(
    sides: tuple[DocumentTable, DocumentTable], rows: tuple[Integers, Integers]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether the other side has a document with the bytes of each of the rows, bool [len(rows)] each."""
    codes = codes_of([np.concatenate([getattr(side, name) for side in sides]) for name in ("high", "low")])
    before, now = codes[: len(sides[0])], codes[len(sides[0]) :]
    return np.isin(before[rows[0]], now), np.isin(now[rows[1]], before)
