"""Token counts: clustered by document, by 64 hash groups, and an example document a token; by primary domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.kernels.counters import sparse
from corpus_audit.pipelines.kernels.counters.counting import GROUPS, count_tokens
from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.storage import count_tables, merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial, PartialReader, merge_facts
from corpus_audit.pipelines.tokens.tokenization import text_buffers
from corpus_audit.schemas.spec.audit import AuditSpec

GROUP_CELLS = 2**29
"""Groups are kept by domain while groups x domains x vocabulary is at most this, otherwise overall."""

CELLS = TableSpec(
    (
        ("cell", ColumnKind.CELL),
        ("count", ColumnKind.SUM),
        ("documents", ColumnKind.SUM),
        ("squared", ColumnKind.SUM),
        ("squared_high", ColumnKind.WIDE_HIGH),
        ("product", ColumnKind.SUM),
        ("product_high", ColumnKind.WIDE_HIGH),
    )
)
DOMAIN_GROUPS = TableSpec((("cell", ColumnKind.CELL), ("groups", ColumnKind.GROUPS)))
OVERALL_GROUPS = TableSpec((("token", ColumnKind.KEY), ("groups", ColumnKind.GROUPS)))
EXAMPLES = TableSpec(
    (
        ("token", ColumnKind.KEY),
        ("high", ColumnKind.TIE),
        ("low", ColumnKind.TIE),
        ("copy", ColumnKind.TIE),
        ("domain", ColumnKind.FIRST_DOMAIN),
        ("id", ColumnKind.BYTES),
    )
)


class Tokens(Measure):
    """Occurrences Y, documents df, sum y^2 and sum y n of every token in every domain (Rao and Scott's linearised
    ratio needs no more), the occurrences in each hash group, and the document of lowest hash that holds the token.

    Whether groups are kept by domain is a function of the number of domains: a partial whose own domains are already
    too many keeps them overall, and merging does the same as soon as the union is. The union of a corpus is at least
    that of its parts, so the outcome depends on the corpus alone.
    """

    name = "tokens"
    version = 3

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """Domain, cluster (groups are made of whole clusters) and the document's id."""
        return domain_settings(spec.document) | {"id": spec.document.id}

    def tables(self) -> dict[str, TableSpec]:
        """Cells by (domain, token); groups by (domain, token) or by token; examples by token."""
        return {
            "cells": CELLS,
            "domain_groups": DOMAIN_GROUPS,
            "overall_groups": OVERALL_GROUPS,
            "examples": EXAMPLES,
        }

    def count(self, block: Block) -> Partial:
        """Count one block in one pass over its token ids, or in two where groups go overall."""
        ranks = _ranks(block)
        zeros = np.zeros(len(block), np.int64)
        apart = too_many_domains(len(block.names), block.vocabulary)
        groups_by_domain = zeros.astype(np.uint8) if apart else block.groups
        counted = count_tokens(block.ids, block.offsets, block.domains, groups_by_domain, ranks, block.vocabulary)
        run_stop, run_group = counted.run_stop, counted.run_group
        run_count, lowest = counted.run_count, counted.lowest
        cell = count_tables.cells(counted.domain, counted.token)
        squared, squared_high = count_tables.wide(counted.sums[:, 2])
        product, product_high = count_tables.wide(counted.sums[:, 3])
        cells = CountTable(
            CELLS,
            {
                "cell": cell,
                "count": counted.sums[:, 0].copy(),
                "documents": counted.sums[:, 1].copy(),
                "squared": squared,
                "squared_high": squared_high,
                "product": product,
                "product_high": product_high,
            },
        )
        del counted  # its sums are as large as their columns
        groups, overall_groups = count_tables.empty(DOMAIN_GROUPS), count_tables.empty(OVERALL_GROUPS)
        if apart:
            together = count_tokens(block.ids, block.offsets, zeros, block.groups, ranks, block.vocabulary)
            masks = sparse.group_masks(together.run_group, together.run_stop)
            columns = {"token": together.token.astype(np.uint64), "groups": masks}
            overall_groups = CountTable(OVERALL_GROUPS, columns, together.run_count.copy())
        else:
            masks = sparse.group_masks(run_group, run_stop)
            groups = CountTable(DOMAIN_GROUPS, {"cell": cell, "groups": masks}, run_count.copy())
        tokens = np.flatnonzero(lowest < len(block))
        documents = np.argsort(ranks)[lowest[tokens]]
        examples = CountTable(
            EXAMPLES,
            {
                "token": tokens.astype(np.uint64),
                "high": block.high[documents],
                "low": block.low[documents],
                "copy": _copy_hashes(block, documents),
                "domain": block.domains[documents],
                "id": block.document_ids.take(documents),
            },
        )
        return Partial(
            block.names,
            {"cells": cells, "domain_groups": groups, "overall_groups": overall_groups, "examples": examples},
            {"vocabulary": block.vocabulary},
        )

    def merge(self, parts: Sequence[Partial]) -> Partial:
        """Merge; groups go overall when the union of the domains is too large."""
        names = {name for part in parts for name in part.names}
        if too_many_domains(len(names), _vocabulary(part.facts for part in parts)):
            parts = [_collapsed(part) for part in parts]
        return super().merge(parts)

    def streams(self, readers: Sequence[PartialReader], names: Sequence[str]) -> dict[str, list[Iterator[CountTable]]]:
        """As `merge`; groups that go overall are added up first, at most 64 counts a token."""
        streams = super().streams(readers, names)
        if too_many_domains(len(names), _vocabulary(reader.facts for reader in readers)):
            streams["overall_groups"].append(_added_up(streams["domain_groups"]))
            streams["domain_groups"] = []
        return streams

    def merged_apart(self) -> tuple[tuple[str, ...], ...]:
        """Groups by domain may become groups overall, so the two stay together."""
        return ("cells",), ("domain_groups", "overall_groups"), ("examples",)


def _added_up(streams: Iterable[Iterator[CountTable]]) -> Iterator[CountTable]:
    total = count_tables.empty(OVERALL_GROUPS)
    for stream in streams:
        for chunk in stream:
            total = merging.merge([total, overall(chunk)])
    yield total


def _ranks(block: Block) -> np.ndarray:
    """int64 [D]: ranks of the documents by content hash, copies of one text by `_copy_hashes`."""
    order = merging.sort_order([block.high, block.low])
    high, low = block.high[order], block.low[order]
    same = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    if same.any():
        copies = order[np.append(same, False) | np.append(False, same)]
        copy = np.zeros(len(block), np.uint64)
        copy[copies] = _copy_hashes(block, copies)
        order = merging.sort_order([block.high, block.low, copy])
    ranks = np.empty(len(block), np.int64)
    ranks[order] = np.arange(len(block))
    return ranks


def _copy_hashes(block: Block, documents: np.ndarray) -> np.ndarray:
    """uint64 hashes of the documents' domains and ids: they choose among copies of a text, whatever their order."""
    distinct, index = np.unique(documents, return_inverse=True)
    names = pa.array([name.encode() for name in block.names], pa.large_binary()).take(block.domains[distinct])
    separator = pa.scalar(b"\0", pa.large_binary())
    keys = pc.binary_join_element_wise(names, block.document_ids.take(distinct), separator)
    high, _ = hash_documents(*reversed(text_buffers(keys)))
    return high[index]


def _vocabulary(facts: Iterable[dict[str, int]]) -> int:
    return merge_facts(facts).get("vocabulary", 0)


def too_many_domains(domains: int, vocabulary: int) -> bool:
    """Whether groups by domain would be past `GROUP_CELLS`."""
    return domains * vocabulary * GROUPS > GROUP_CELLS


def overall(groups: CountTable) -> CountTable:
    """Groups by domain and token, added up over the domains."""
    _, token = count_tables.split_cells(groups.columns["cell"])
    flat = CountTable(
        OVERALL_GROUPS, {"token": token.astype(np.uint64), "groups": groups.columns["groups"]}, groups.counts
    )
    return merging.merge([flat])


def _collapsed(part: Partial) -> Partial:
    by_domain = part.tables["domain_groups"]
    if not len(by_domain):
        return part
    both = merging.merge([overall(by_domain), part.tables["overall_groups"]])
    tables = part.tables | {"domain_groups": count_tables.empty(DOMAIN_GROUPS), "overall_groups": both}
    return replace(part, tables=tables)
