"""Token counts: clustered by document, by 64 hash groups, and an example document a token; by primary domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from corpus_audit.pipelines import count_tables
from corpus_audit.pipelines.count_tables import CountTable, Kind, TableSpec
from corpus_audit.pipelines.kernels import sparse
from corpus_audit.pipelines.kernels.counting import GROUPS, count_tokens
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.partials import Partial, PartialReader, merge_facts
from corpus_audit.schemas.audit import AuditSpec

GROUP_CELLS = 2**28
"""Groups are kept by domain while groups x domains x vocabulary is at most this, otherwise overall."""

CELLS = TableSpec(
    (
        ("cell", Kind.CELL),
        ("count", Kind.SUM),
        ("documents", Kind.SUM),
        ("squared", Kind.SUM),
        ("squared_high", Kind.WIDE_HIGH),
        ("product", Kind.SUM),
        ("product_high", Kind.WIDE_HIGH),
    )
)
DOMAIN_GROUPS = TableSpec((("cell", Kind.CELL), ("groups", Kind.GROUPS)))
OVERALL_GROUPS = TableSpec((("token", Kind.KEY), ("groups", Kind.GROUPS)))
EXAMPLES = TableSpec(
    (
        ("token", Kind.KEY),
        ("high", Kind.TIE),
        ("low", Kind.TIE),
        ("domain", Kind.FIRST_DOMAIN),
        ("id", Kind.BYTES),
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
    version = 1

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
        """Count one block in one pass over its token ids."""
        order = np.lexsort((block.low, block.high))
        ranks = np.empty(len(block), np.int64)
        ranks[order] = np.arange(len(block))
        domain, token, sums, stops, run_groups, run_counts, example = count_tokens(
            block.ids, block.offsets, block.domains, block.groups, ranks, block.vocabulary
        )
        cell = count_tables.cells(domain, token)
        squared, squared_high = count_tables.wide(sums[:, 2])
        product, product_high = count_tables.wide(sums[:, 3])
        cells = CountTable(
            CELLS,
            {
                "cell": cell,
                "count": sums[:, 0].copy(),
                "documents": sums[:, 1].copy(),
                "squared": squared,
                "squared_high": squared_high,
                "product": product,
                "product_high": product_high,
            },
        )
        groups = CountTable(
            DOMAIN_GROUPS, {"cell": cell, "groups": sparse.group_masks(run_groups, stops)}, run_counts.copy()
        )
        tokens = np.flatnonzero(example >= 0)
        documents = example[tokens]
        examples = CountTable(
            EXAMPLES,
            {
                "token": tokens.astype(np.uint64),
                "high": block.high[documents],
                "low": block.low[documents],
                "domain": block.domains[documents],
                "id": block.document_ids.take(documents),
            },
        )
        part = Partial(
            block.names,
            {
                "cells": cells,
                "domain_groups": groups,
                "overall_groups": count_tables.empty(OVERALL_GROUPS),
                "examples": examples,
            },
            {"vocabulary": block.vocabulary},
        )
        return _collapsed(part) if too_many_domains(len(part.names), block.vocabulary) else part

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
            total = count_tables.empty(OVERALL_GROUPS)
            for stream in streams["domain_groups"]:
                for chunk in stream:
                    total = count_tables.merge([total, overall(chunk)])
            streams["domain_groups"] = []
            streams["overall_groups"].append(iter([total]))
        return streams


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
    return count_tables.merge([flat])


def _collapsed(part: Partial) -> Partial:
    by_domain = part.tables["domain_groups"]
    if not len(by_domain):
        return part
    both = count_tables.merge([overall(by_domain), part.tables["overall_groups"]])
    tables = part.tables | {"domain_groups": count_tables.empty(DOMAIN_GROUPS), "overall_groups": both}
    return replace(part, tables=tables)
