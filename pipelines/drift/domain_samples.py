"""Domain totals of two runs and of their shared documents, as `DomainSample`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.drift.token_tables import Totals
from corpus_audit.pipelines.reading.documents.batches import PRIMARY
from corpus_audit.pipelines.statistics.drift.domain_drift import DomainSample
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS, OTHER_VALUES


@dataclass(frozen=True)
class DomainSamples:
    """The three disjoint sets of documents over G domains, and their totals by name.

    Attributes:
        names: the domains, sorted as bytes; those that a run does not list make one, `OTHER_VALUES`.
        only_baseline, only_current, shared: G domains each.
        totals: (baseline, current, shared) -> domain, or (all) -> totals over documents; shared as turnover has it.
    """

    names: list[str]
    only_baseline: DomainSample
    only_current: DomainSample
    shared: DomainSample
    totals: tuple[dict[str, Totals], dict[str, Totals], dict[str, Totals]]

    @classmethod
    def of(cls, baseline: RunDirectory, current: RunDirectory, turnover: pa.Table) -> DomainSamples:
        """From tables DOMAINS, CLUSTER_GROUPS and TURNOVER."""
        tables = [_primary(run.table("domains")) for run in (baseline, current)]
        listed = [set(table["value"].to_pylist()) for table in tables]
        if any(OTHER_VALUES in names for names in listed):
            names = [*sorted((listed[0] & listed[1]) - {OTHER_VALUES}, key=str.encode), OTHER_VALUES]
        else:
            names = sorted(listed[0] | listed[1], key=str.encode)
        position = {name: g for g, name in enumerate(names)}

        def add_up(values: list[str], column: list[int]) -> npt.NDArray[np.object_]:
            sums = np.zeros(len(names), object)
            for value, amount in zip(values, column, strict=True):
                sums[position.get(value, len(names) - 1)] += int(amount)
            return sums

        sides = []
        for table in tables:
            values = table["value"].to_pylist()
            columns = [
                add_up(values, table[name].to_pylist()) for name in ("documents", "tokens", "sum_tokens_squared")
            ]
            sides.append(columns)
        kept_rows = turnover.filter(pc.not_equal(turnover["domain"], ALL_DOMAINS))
        kept_names = kept_rows["domain"].to_pylist()
        kept = [add_up(kept_names, kept_rows[name].to_pylist()) for name in ("kept", "kept_tokens", "kept_squared")]
        groups = [_groups(run, position) for run in (baseline, current)]
        nothing = None if groups[0] is None else np.zeros_like(groups[0][0])
        samples = [
            DomainSample(
                (side[0] - kept[0]).astype(np.int64),
                (side[1] - kept[1]).astype(np.int64),
                side[2] - kept[2],
                # Whole sides: the random groups' differences are those of whole sides, whatever they share.
                *(group if group is not None else (None, None)),
            )
            for side, group in zip(sides, groups, strict=True)
        ]
        shared = DomainSample(kept[0].astype(np.int64), kept[1].astype(np.int64), kept[2], nothing, nothing)
        totals = tuple(
            {
                name: Totals(int(columns[0][g]), float(columns[2][g]))
                for g, name in enumerate(names)
                if name != OTHER_VALUES
            }
            | {ALL_DOMAINS: Totals(int(columns[0].sum()), float(columns[2].sum()))}
            for columns in (*sides, kept)
        )
        return cls(names, samples[0], samples[1], shared, (totals[0], totals[1], totals[2]))


def _primary(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["facet"], PRIMARY))


def _groups(run: RunDirectory, position: dict[str, int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """(documents, tokens) by hash group of the clusters, int64 [GROUPS, G]; None where documents are the clusters."""
    if run.facts.cluster is None:
        return None
    table = _primary(run.table("cluster_groups"))
    group = table["group"].to_numpy().astype(np.int64) & (GROUPS - 1)
    last = len(position) - 1
    domain = np.array([position.get(value, last) for value in table["value"].to_pylist()], np.int64)
    sides = []
    for name in ("documents", "tokens"):
        sums = np.zeros((GROUPS, len(position)), np.int64)
        np.add.at(sums, (group, domain), table[name].to_numpy())
        sides.append(sums)
    return sides[0], sides[1]
