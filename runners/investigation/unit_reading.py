"""Reads what an investigation says of units from activation indexes, and joins examples with the sampler's log."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corpus_audit.checks.investigation.drawn_windows import DrawnAnalysis, open_log
from corpus_audit.checks.representations.unit_records import (
    DeadUnits,
    DrawnUnits,
    MovedUnits,
    SpecialExperts,
    UnitAnalysis,
)
from corpus_audit.embeddings.index.rates import dead_bound
from corpus_audit.embeddings.index.reader import Index, open_index
from corpus_audit.embeddings.lookup.compare_units import firing, movements, select_rows
from corpus_audit.embeddings.lookup.expert_domains import domain_loads
from corpus_audit.embeddings.lookup.experts import layer_loads
from corpus_audit.pipelines.sampling.log.draws_of import draws_of
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.pipelines.statistics.sampling.control_windows import LEAST_CONTROLS, MOST_CONTROLS, control_starts
from corpus_audit.pipelines.statistics.sampling.listed_in_windows import MOST_CELLS, listed_in_window
from corpus_audit.schemas.spec.investigation import DrawnDocuments, Routing, Units
from corpus_audit.schemas.units import Kind

_NO_LOG = "no log of the sampler is part of the investigation"


def read_units(
    units: Units | None,
    routing: Routing | None,
    drawn: DrawnDocuments | None,
    analysis: DrawnAnalysis | None,
    base: Path,
) -> UnitAnalysis | None:
    """What the indexes say that an investigation names; None if it names none.

    Args:
        units, routing, drawn: parts of the spec.
        analysis: what was drawn before spikes, whose windows are used.
        base: the folder of the spec.

    Raises:
        UsageError: there is no index, it has none of the units, or two indexes cannot be compared.
        StoreError: an index is damaged.
    """
    if units is None:
        if routing is None or routing.index is None:
            return None
        index = open_index(base / routing.index)
        experts, why = _experts(index, np.arange(len(index.array("indices"))))
        return UnitAnalysis(index.folder.name, index.facts.model["name"], (), experts=experts, no_experts=why)
    index = open_index(base / units.index)
    rows = select_rows(index, units.select)
    names = list(index.units())
    selected = [str(names[row]) for row in rows.tolist()]
    before = None if units.before is None else open_index(base / units.before)
    windows, why_not, without_id = _drawn(index, rows, drawn, analysis, base)
    experts, no_experts = None, ""
    if routing is not None and routing.index is not None:
        other = open_index(base / routing.index)
        experts, no_experts = _experts(other, np.arange(len(other.array("indices"))))
    return UnitAnalysis(
        index=index.folder.name,
        model=index.facts.model["name"],
        units=selected,
        dead=_dead(index, rows, before),
        moved=None if before is None else _moved(before, index, rows),
        drawn=windows,
        not_drawn=why_not,
        run="" if analysis is None else analysis.run,
        experts=experts,
        no_experts=no_experts,
        without_id=without_id,
    )


def _dead(index: Index, rows: np.ndarray, before: Index | None) -> DeadUnits:
    share, tokens = firing(index, rows)
    documents = int(np.asarray(index.array("documents")).sum())
    dead = np.flatnonzero(share == 0) if tokens else np.empty(0, np.int64)
    died = None
    if before is not None:
        names = list(index.units())
        old = np.array([before.row_of(names[rows[i]]) for i in dead.tolist()], np.int64)
        died = dead[firing(before, old)[0] > 0] if len(old) else dead
    return DeadUnits(dead, died, tokens, documents, dead_bound(documents))


def _moved(before: Index, after: Index, rows: np.ndarray) -> MovedUnits:
    model = before.facts.model["digest"] != after.facts.model["digest"]
    result = movements(before, after, rows, checkpoints=model)
    documents = [int(np.asarray(index.array("documents")).sum()) for index in (before, after)]
    return MovedUnits(
        before=before.folder.name,
        model_differs=model,
        corpus_differs=before.facts.snapshot != after.facts.snapshot,
        first=result.first,
        second=result.second,
        low=result.difference.low,
        high=result.difference.high,
        deviation=result.deviation,
        q=result.q,
        within=_within(before, after, rows),
        documents=(documents[0], documents[1]),
    )


def _within(before: Index, after: Index, rows: np.ndarray) -> np.ndarray:
    """Change of the means within domains that both have, weighted by the tokens of the later index, float64 [R]."""
    names = list(after.units())
    old = np.array([before.row_of(names[row]) for row in rows.tolist()], np.int64)
    change, weight = np.zeros(len(rows)), 0.0
    for d, name in enumerate(after.domains):
        tokens = float(np.asarray(after.array("tokens")[d]).sum())
        if name not in before.domains or not tokens:
            continue
        earlier = before.domains.index(name)
        tokens_before = float(np.asarray(before.array("tokens")[earlier]).sum())
        if not tokens_before:
            continue
        second = np.asarray(after.array("total")[d], np.float64)[:, rows].sum(axis=0) / tokens
        first = np.asarray(before.array("total")[earlier], np.float64)[:, old].sum(axis=0) / tokens_before
        change, weight = change + tokens * (second - first), weight + tokens
    return change / weight if weight else np.full(len(rows), np.nan)


def _experts(index: Index, rows: np.ndarray) -> tuple[SpecialExperts | None, str]:
    """Loads of experts by domain, or why there are none."""
    loads = domain_loads(index, rows)
    if loads is None:
        some = any(point.kind is Kind.EXPERT for point in index.widths)
        return None, "the index has one domain" if some else "the index has no units of the kind expert"
    names = list(index.units())
    balance = [
        (str(layer.point), layer.largest.value, layer.largest.low, layer.largest.high)
        for layer in layer_loads(index, loads.rows)
    ]
    experts = [str(names[row]) for row in loads.rows.tolist()]
    figures = (loads.load, loads.elsewhere, loads.difference, loads.low, loads.high, loads.q)
    return SpecialExperts(experts, loads.domains, *figures, balance), ""


def _examples(index: Index, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str], int]:
    """Unit and document of every strongest example, once a pair; ids of the documents; documents without one."""
    windows = np.asarray(index.array("top.row"))[rows]
    unit, slot = np.nonzero(windows < len(index.window_names))
    distinct, at = np.unique(windows[unit, slot], return_inverse=True)
    keys = index.windows["document"].take(distinct.astype(np.int64)).to_pylist()
    ids: dict[str, int] = {}
    positions: list[int] = []
    without: set[bytes] = set()
    for key in keys:
        name = next((location.id for location in index.locations(key) if location.id is not None), None)
        if name is None:
            without.add(key)
        positions.append(-1 if name is None else ids.setdefault(name, len(ids)))
    document = np.array(positions, np.int64)[at.reshape(-1)] if len(at) else np.empty(0, np.int64)
    known = document >= 0
    pairs = np.unique(np.stack([unit[known], document[known]], axis=1), axis=0).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], list(ids), len(without)


def _drawn(
    index: Index, rows: np.ndarray, spec: DrawnDocuments | None, analysis: DrawnAnalysis | None, base: Path
) -> tuple[list[DrawnUnits] | None, str, int]:
    """The windows before spikes, or why there are none, and documents of examples without an id."""
    if spec is None or analysis is None:
        return None, _NO_LOG, 0
    if not analysis.spikes:
        return None, "the loss has no spike, before which documents would be looked at", 0
    if len(rows) * (LEAST_CONTROLS + 1) > MOST_CELLS:
        most = MOST_CELLS // (LEAST_CONTROLS + 1)
        return None, f"{len(rows):,} units are more than {most:,}: select under units names some", 0
    unit, document, ids, without = _examples(index, rows)
    if not ids:
        return None, "no document of the examples has an id", without
    log = open_log(spec, base)
    drawn = draws_of(log, ids)
    if drawn is None:
        return None, "the sampler's log has no ids of documents, or too many draws of these", without
    steps = log.step_range()
    results = [
        _window(spike.first, spike.step, analysis, steps, drawn, (unit, document, len(ids)), len(rows))
        for spike in analysis.spikes.values()
    ]
    if not len(drawn[0]):
        results = [
            _none(each.first, each.step, "the log has none of the documents of the examples") for each in results
        ]
    q = benjamini_hochberg([each.p for each in results]).tolist()
    examples = np.bincount(unit, minlength=len(rows))
    return [
        DrawnUnits(each.first, each.step, each.counts, each.expected, each.adjusted, each.p, value, each.controls,
                   examples, each.why)
        for each, value in zip(results, q, strict=True)
    ], "", without  # fmt: skip


def _window(
    first: int,
    step: int,
    analysis: DrawnAnalysis,
    steps: tuple[int, int],
    drawn: tuple[np.ndarray, np.ndarray],
    lists: tuple[np.ndarray, np.ndarray, int],
    units: int,
) -> DrawnUnits:
    """One window against its controls; the steps of the log are those of the run less the offset."""
    window = (first - analysis.offset, step - analysis.offset)
    if window[0] < steps[0] or window[1] > steps[1]:
        return _none(first, step, "the log has no draws at all of these steps")
    spans = (spike.avoided for spike in analysis.spikes.values())
    avoid = [(begin - analysis.offset, end - analysis.offset) for begin, end in spans]
    most = min(MOST_CONTROLS, MOST_CELLS // max(units, lists[2], 1) - 1)
    starts = control_starts(window, steps, avoid, most)
    if len(starts) < LEAST_CONTROLS:
        why = f"{len(starts)} control windows of this length; at least {LEAST_CONTROLS} are needed"
        return _none(first, step, why)
    edges = np.sort(np.append(starts, window[0]))
    length = step - first
    in_windows = np.zeros((len(edges), lists[2]), bool)
    at = np.searchsorted(edges, drawn[0], side="right") - 1
    inside = (at >= 0) & (drawn[0] <= edges[np.maximum(at, 0)] + length)
    in_windows[at[inside], drawn[1][inside]] = True
    target = int(np.searchsorted(edges, window[0]))
    result = listed_in_window(lists[0], lists[1], units, in_windows, target)
    return DrawnUnits(
        first, step, result.counts, result.expected, result.adjusted, result.p, float("nan"), result.controls,
        np.empty(0, np.int64),
    )  # fmt: skip


def _none(first: int, step: int, why: str) -> DrawnUnits:
    nothing = np.empty(0)
    return DrawnUnits(
        first, step, nothing, nothing, nothing, float("nan"), float("nan"), 0, np.empty(0, np.int64), why
    )  # fmt: skip
