"""The spikes of an investigation on its page: precursor, twin, documents, and rank among control windows."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from corpus_audit.checks.investigation.drawn_windows import SpikeDocuments
from corpus_audit.checks.investigation.investigation import Investigation, windows_of
from corpus_audit.checks.investigation.run_analysis import RunAnalysis
from corpus_audit.checks.investigation.spike_findings import spikes_within
from corpus_audit.checks.investigation.twin_findings import Twin
from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.pipelines.sampling.log.comparison import DrawnDocument
from corpus_audit.pipelines.statistics.telemetry.spikes import LEAD, THRESHOLD, Spike
from corpus_audit.pipelines.statistics.telemetry.twins import SAME_ORDER, in_twin
from corpus_audit.schemas.spec.investigation import InvestigationSpec

MOST_ROWS = 20
"""Spikes of a run that have a row, the highest; the Parquet table has all."""

MOST_DOCUMENTS = 5
"""Documents of a spike that are listed, those with the highest excess loss."""

_HEADS = (("Step", ""), ("Rise", "n"), ("Score", "n"), ("Kind", ""), ("Gradient before", ""), ("Twin", ""),
          ("Rank of its documents", ""))  # fmt: skip
_ABOUT = (
    "Rise is above the local median, score in robust standard deviations. Gradient before is the largest score of the "
    f"gradient norm in the {LEAD} points before; {THRESHOLD:g} and more is a precursor. Rank is that of the window's "
    "documents among control windows of the same length, 1 being the most unusual; below it are the documents with the "
    "highest excess loss."
)
_MISSING = "–"


def spikes_section(body: ET.Element, spec: InvestigationSpec, investigation: Investigation) -> None:
    """Append the section: a table of every run that has spikes."""
    windows = windows_of(spec)
    by_run = {run.id: spikes_within(investigation.runs[run.id], windows) for run in spec.runs}
    if not any(by_run.values()):
        return
    element(body, "h2", "Spikes")
    element(body, "p", _ABOUT, class_="about")
    for name, spikes in by_run.items():
        if spikes:
            drawn = investigation.drawn
            own = drawn.spikes if drawn is not None and drawn.run == name else {}
            _table(body, investigation.runs[name], spikes, investigation.twins[name], own)


def _table(
    body: ET.Element,
    run: RunAnalysis,
    spikes: Sequence[Spike],
    twins: Sequence[Twin],
    drawn: dict[int, SpikeDocuments],
) -> None:
    loss = run.loss
    assert loss is not None
    caption = f"Spikes of {run.spec.id}, the highest first"
    scroll = element(body, "div", class_="scroll", tabindex="0", role="region", aria_label=safe_text(caption, 120))
    table = element(scroll, "table", class_="scores spikes")
    element(element(table, "caption"), "span", safe_text(caption, 120))
    head = element(element(table, "thead"), "tr")
    for name, kind in _HEADS:
        element(head, "th", name, scope="col", **({"class_": kind} if kind else {}))
    rows = element(table, "tbody")
    for spike in spikes[:MOST_ROWS]:
        step = int(loss.step[spike.peak])
        row = element(rows, "tr")
        element(row, "th", grouped(step), scope="row")
        element(row, "td", f"{spike.rise:+.3g}", class_="n")
        element(row, "td", f"{spike.z:.1f}", class_="n")
        element(row, "td", spike.kind.value)
        element(row, "td", "not logged" if spike.precursor_z is None else f"{spike.precursor_z:.1f}")
        element(element(row, "td"), "bdi", safe_text(_twin(twins, step), 120))
        window = drawn.get(step)
        element(row, "td", _rank(window))
        if window is not None:
            remark = element(element(rows, "tr", class_="remark"), "td", colspan=len(_HEADS))
            _documents(element(remark, "div"), window)
    if len(spikes) > MOST_ROWS:
        further = plural(len(spikes) - MOST_ROWS, "further spike")
        element(body, "p", f"{further} in the table telemetry_spikes.", class_="note")


def _twin(twins: Sequence[Twin], step: int) -> str:
    for twin in twins:
        comparison = twin.comparison
        name = twin.other.spec.id
        if comparison is None or comparison.low <= SAME_ORDER:
            return f"{name}: not the same order"
        if twin.other.loss is not None and twin.other.scores is not None:
            presence, z = in_twin(step, twin.threshold, twin.other.loss.step, twin.other.scores)
            return f"{name}: {presence.value}" + (f" ({z:.1f})" if z == z else "")
    return "none named"


def _documents(cell: ET.Element, window: SpikeDocuments) -> None:
    if window.comparison is None or not window.comparison.documents:
        cell.text = safe_text(window.why, 300)
        return
    top = window.comparison.top[:MOST_DOCUMENTS]
    if top:
        cell.text = f"Drawn before, of {plural(window.comparison.documents, 'draw')}: "
    for number, document in enumerate(top):
        part = element(cell, "bdi", safe_text(_document(document), 120))
        part.tail = "; " if number < len(top) - 1 else ""
    if not top:
        cell.text = f"{plural(window.comparison.documents, 'draw')}, no ids"


def _document(document: DrawnDocument) -> str:
    if document.excess_per_token is None:
        return f"{document.document} ({plural(document.draws, 'draw')})"
    return f"{document.document} ({document.excess_per_token:+.2g} nats per token)"


def _rank(window: SpikeDocuments | None) -> str:
    """Rank of the window among its controls and itself: p = rank / (1 + controls)."""
    if window is None:
        return "no log of the sampler"
    if window.comparison is None or window.why:
        return _MISSING
    comparison = window.comparison
    of = comparison.controls + 1
    return f"{round(comparison.p * of)} of {grouped(of)}, q {window.q:.2g}"
