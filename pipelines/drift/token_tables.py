"""Reads the token tables of two runs and of their shared documents, domain by domain, as `TokenContrast`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus_audit.pipelines.drift.sampled_overlap import SampledOverlap
from corpus_audit.pipelines.kernels.drift.group_rows import add_masked
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast, TokenSample
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

BATCH_ROWS = 16_384


@dataclass(frozen=True)
class Totals:
    """Totals over documents of a set, of the corpus or of one domain: D, and the sum of n^2."""

    documents: int = 0
    squared: float = 0.0


@dataclass(frozen=True)
class Counters:
    """Rows of one domain, N tokens ascending: columns as `TokenSample` has them, groups as masks and counts."""

    tokens: npt.NDArray[np.int32]
    count: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    squared: npt.NDArray[np.float64]
    product: npt.NDArray[np.float64]
    masks: npt.NDArray[np.uint64]
    group_counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, counts: pa.Table | None, groups: pa.Table | None) -> Counters:
        """From the rows of the two tables; a domain without rows has none."""
        if counts is None:
            counts = pa.table(
                {name: pa.array([], pa.int64()) for name in ("count", "documents", "sum_squared", "sum_product")}
                | {"token": pa.array([], pa.int32())}
            )
        if groups is None:
            masks, group_counts = np.zeros(len(counts), np.uint64), np.empty(0, np.int64)
        else:
            masks = groups["groups"].to_numpy()
            group_counts = pc.list_flatten(groups["counts"]).to_numpy()
        return cls(
            counts["token"].to_numpy(),
            counts["count"].to_numpy(),
            counts["documents"].to_numpy(),
            counts["sum_squared"].cast(pa.float64()).to_numpy(),
            counts["sum_product"].cast(pa.float64()).to_numpy(),
            masks,
            group_counts,
        )

    def sample(self, tokens: npt.NDArray[np.int32], totals: Totals, groups: npt.NDArray[np.int64]) -> TokenSample:
        """Spread over the K tokens given; ``groups``, int64 [GROUPS, K], is filled and kept."""
        columns = np.searchsorted(tokens, self.tokens)

        def spread(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
            out = np.zeros(len(tokens), values.dtype)
            out[columns] = values
            return out

        add_masked(groups, columns, self.masks, self.group_counts)
        return TokenSample(
            spread(self.count),  # type: ignore[arg-type]
            spread(self.documents),  # type: ignore[arg-type]
            spread(self.squared),  # type: ignore[arg-type]
            spread(self.product),  # type: ignore[arg-type]
            groups,
            totals.documents,
            int(self.count.sum()),
            totals.squared,
        )


@dataclass(frozen=True)
class TokenTables:
    """Paths of a run's token tables: of all its documents, or of those that it shares with a baseline.

    Attributes:
        counts, groups: the Parquet files.
        shared_with: digest of the baseline, if the files hold what is shared, else None.
    """

    counts: Path
    groups: Path
    shared_with: str | None = None

    def rows(self) -> Iterator[tuple[str, pa.Table | None, pa.Table | None]]:
        """(domain, rows of counts, rows of groups) in the order of the domains' bytes; groups may be of (all) only."""
        left = _by_domain(self.counts, self.shared_with)
        right = _by_domain(self.groups, self.shared_with)
        one, two = next(left, None), next(right, None)
        while one is not None or two is not None:
            names = [head[0] for head in (one, two) if head is not None]
            name = min(names, key=str.encode)
            counts = one[1] if one is not None and one[0] == name else None
            groups = two[1] if two is not None and two[0] == name else None
            yield name, counts, groups
            one = next(left, None) if counts is not None else one
            two = next(right, None) if groups is not None else two


def _by_domain(path: Path, shared_with: str | None) -> Iterator[tuple[str, pa.Table]]:
    """The rows of every domain, which are neighbours in the file."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            pieces: list[pa.Table] = []
            name = ""
            for batch in file.iter_batches(BATCH_ROWS):
                table = pa.Table.from_batches([batch])
                if shared_with is not None:
                    table = table.filter(pc.equal(table["baseline"].cast(pa.string()), shared_with))
                if not len(table):
                    continue
                column = table["domain"].combine_chunks()
                codes = column.indices.to_numpy()
                starts = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist(), len(codes)]
                for start, stop in itertools.pairwise(starts):
                    following = column.dictionary[int(codes[start])].as_py()
                    if pieces and following != name:
                        yield name, pa.concat_tables(pieces).combine_chunks()
                        pieces = []
                    name = following
                    pieces.append(table.slice(start, stop - start).drop_columns(["domain"]))
            if pieces:
                yield name, pa.concat_tables(pieces).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"cannot read {path}: {error}") from error


@dataclass(frozen=True)
class Contrasts:
    """The token tables of two runs and of their shared documents.

    Attributes:
        baseline, current: the runs' tables.
        shared: those of the documents that both hold, None where they hold none.
        totals: (baseline, current, shared) -> domain, or (all) -> totals over documents.
        vocabulary: token ids are below it.
        clustered: whether hash groups are made of clusters of documents.
        groups_by_domain: whether both runs hold hash groups by domain.
    """

    baseline: TokenTables
    current: TokenTables
    shared: TokenTables | SampledOverlap | None
    totals: tuple[dict[str, Totals], dict[str, Totals], dict[str, Totals]]
    vocabulary: int
    clustered: bool
    groups_by_domain: bool

    def overall(self) -> TokenContrast:
        """The contrast of the whole corpus."""
        samples = [
            self._sum(tables, totals.get(ALL_DOMAINS, Totals()))
            for tables, totals in zip((self.baseline, self.current, self.shared), self.totals, strict=True)
        ]
        tokens = np.flatnonzero(samples[0].count + samples[1].count).astype(np.int32)
        return _contrast(tokens, [_columns(sample, tokens) for sample in samples], self.clustered)

    def domains(self) -> Iterator[tuple[str, TokenContrast]]:
        """Name and contrast of every domain of either run, in the order of their names' bytes."""
        sources = [tables.rows() if tables else iter(()) for tables in (self.baseline, self.current, self.shared)]
        heads = [next(source, None) for source in sources]
        while any(head is not None for head in heads):
            name = min((head[0] for head in heads if head is not None), key=str.encode)
            counters = []
            for i, head in enumerate(heads):
                if head is not None and head[0] == name:
                    counters.append(Counters.of(head[1], head[2] if self.groups_by_domain else None))
                    heads[i] = next(sources[i], None)
                else:
                    counters.append(Counters.of(None, None))
            if name == ALL_DOMAINS and not any(len(each.tokens) for each in counters):
                continue  # groups that are kept overall
            tokens = np.union1d(counters[0].tokens, counters[1].tokens)
            samples = [
                each.sample(tokens, totals.get(name, Totals()), np.zeros((GROUPS, len(tokens)), np.int64))
                for each, totals in zip(counters, self.totals, strict=True)
            ]
            yield name, _contrast(tokens, samples, self.clustered)

    def _sum(self, tables: TokenTables | SampledOverlap | None, totals: Totals) -> TokenSample:
        """All domains of one set, dense over the vocabulary."""
        size = self.vocabulary
        whole = TokenSample(
            np.zeros(size, np.int64),
            np.zeros(size, np.int64),
            np.zeros(size),
            np.zeros(size),
            np.zeros((GROUPS, size), np.int64),
            totals.documents,
            0,
            totals.squared,
        )
        tokens = 0
        for _, counts, groups in tables.rows() if tables else ():
            rows = Counters.of(counts, groups)
            tokens += int(rows.count.sum())
            for target, values in (
                (whole.count, rows.count),
                (whole.documents, rows.documents),
                (whole.squared, rows.squared),
                (whole.product, rows.product),
            ):
                target[rows.tokens] += values
            where = (rows.tokens if groups is None else groups["token"].to_numpy()).astype(np.int64)
            add_masked(whole.groups, where, rows.masks, rows.group_counts)
        return TokenSample(
            whole.count,
            whole.documents,
            whole.squared,
            whole.product,
            whole.groups,
            totals.documents,
            tokens,
            totals.squared,
        )


def _columns(sample: TokenSample, tokens: npt.NDArray[np.int32]) -> TokenSample:
    if len(tokens) == len(sample.count):
        return sample
    return TokenSample(
        sample.count[tokens],
        sample.documents[tokens],
        sample.squared[tokens],
        sample.product[tokens],
        sample.groups[:, tokens],
        sample.total_documents,
        sample.total_tokens,
        sample.total_squared,
    )


def _contrast(tokens: npt.NDArray[np.int32], sides: Sequence[TokenSample], clustered: bool) -> TokenContrast:
    """Three disjoint sets from two sides and what they share.

    Runs of earlier versions counted all copies of a text as shared, also those that the baseline lacks; what that is
    more than the baseline has is taken from the shared part, so that the sides stay what they are.
    """
    baseline, current, shared = sides
    for both, mine in (
        (shared.documents, baseline.documents),
        (shared.squared, baseline.squared),
        (shared.product, baseline.product),
        (shared.groups, baseline.groups),
    ):
        np.minimum(both, mine, out=both)
    count = np.minimum(shared.count, baseline.count)
    if shared.groups.any():
        count = shared.groups.sum(axis=0)
    shared = replace(shared, count=count, total_tokens=int(count.sum()))
    return TokenContrast(tokens, _without(baseline, shared), _without(current, shared), shared, clustered)


def _without(side: TokenSample, shared: TokenSample) -> TokenSample:
    """The side's own documents; its arrays are reused."""
    for mine, theirs in (
        (side.count, shared.count),
        (side.documents, shared.documents),
        (side.squared, shared.squared),
        (side.product, shared.product),
        (side.groups, shared.groups),
    ):
        np.subtract(mine, theirs, out=mine)
    return replace(
        side,
        total_documents=max(side.total_documents - shared.total_documents, 0),
        total_tokens=side.total_tokens - shared.total_tokens,
        total_squared=max(side.total_squared - shared.total_squared, 0.0),
    )
