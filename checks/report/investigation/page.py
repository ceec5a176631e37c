"""An investigation as one self-contained page: no scripts, nothing loaded, every text from a log made safe."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from corpus_audit.checks.investigation.investigation import Investigation
from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.report.investigation.behaviour import behaviour_section
from corpus_audit.checks.report.investigation.inside import inside_section
from corpus_audit.checks.report.investigation.law import law_section
from corpus_audit.checks.report.investigation.order import order_table
from corpus_audit.checks.report.investigation.scores import scores_section
from corpus_audit.checks.report.investigation.spikes import spikes_section
from corpus_audit.checks.report.investigation.timeline import timeline
from corpus_audit.checks.report.investigation.unasked import unasked_section
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.schemas.run.findings import Finding, Findings, Reading
from corpus_audit.schemas.spec.investigation import InvestigationSpec

MOST_FINDINGS = 200
"""Findings on the page; `findings.json` has all."""

_PAGE = Path(__file__).parents[1] / "page"
_OWN = (
    ".curve.fine{stroke-width:1.1;vector-effect:non-scaling-stroke}.finding{margin:1.6rem 0 0;max-width:52rem}"
    ".finding ul{padding-left:1.2rem}.finding h3,.finding p,.finding li{overflow-wrap:anywhere}.state{font-weight:600}"
    ".scores td{white-space:normal}.scores td.n{white-space:nowrap}.scores tbody th,.scores td:not(.n){min-width:6rem}"
    ".scores.spikes td{white-space:nowrap}.scores.spikes tr.remark td{white-space:normal}"
    ".chart .note{paint-order:stroke;stroke:var(--paper);stroke-width:4px}"
)
_HEADINGS = {
    Reading.SHOWN: "What is shown",
    Reading.CHANCE: "What is not beyond chance",
    Reading.NOT_SHOWN: "What is not shown",
    Reading.NOT_ENOUGH: "What there are not enough data for",
}
_ABOUT = {
    Reading.SHOWN: (
        "{} {} tested. An answer by tests stands here if it is beyond chance among all of them: where nothing "
        "happened, the chance of any such answer is at most 5 %. Counts, and what is judged by a threshold as spikes "
        "are, take no part in that."
    ),
    Reading.CHANCE: (
        "Shown by their own tests; but of {} that {} tested, chance gives some such answers. Who asked one of these "
        "beforehand, and nothing else, may read its own p and q."
    ),
}
"""Sentences below headings; {} is the number of questions, and its verb."""


def render_investigation(spec: InvestigationSpec, findings: Findings, investigation: Investigation) -> str:
    """The page as a string; its style sheet is the only thing that its content security policy allows, by digest."""
    style = "".join((_PAGE / name).read_text("utf-8") for name in ("report.css", "sections.css")) + _OWN
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    root = ET.Element("html", {"lang": "en"})
    head = element(root, "head")
    element(head, "meta", charset="utf-8")
    element(head, "meta", http_equiv="Content-Security-Policy", content=policy)
    element(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    element(head, "meta", name="color-scheme", content="light dark")
    element(head, "meta", name="referrer", content="no-referrer")
    element(head, "title", f"{safe_text(findings.name)} – investigation")
    element(head, "style", style)
    body = element(root, "body")
    _header(body, findings)
    for run in spec.runs:
        events = [event for event in spec.events if event.run in (None, run.id)]
        chart = timeline(investigation.runs[run.id], events)
        element(body, "h2", safe_text(run.id))
        if chart is None:
            element(body, "p", "No series of this run is known to be its loss.", class_="about")
            continue
        figure = element(body, "figure")
        figure.append(chart)
        caption = (
            "Triangles are spikes, dashed lines begin segments, red ones are events, and grey areas have no numbers."
        )
        element(figure, "figcaption", caption, class_="note")
    spikes_section(body, spec, investigation)
    left = _findings(body, findings, Reading.SHOWN, MOST_FINDINGS)
    scores_section(body, investigation.comparisons)
    if investigation.contamination is not None:
        order_table(body, investigation.contamination)
    behaviour_section(body, investigation.comparisons)
    if investigation.scaling is not None:
        identity = f"{investigation.scaling.holdout.name}.scaling"
        off = next(finding for finding in investigation.findings if finding.id == identity)
        law_section(body, investigation.scaling, off)
    inside_section(body, investigation.experts, investigation.units)
    for reading in (Reading.CHANCE, Reading.NOT_SHOWN, Reading.NOT_ENOUGH):
        left = _findings(body, findings, reading, left)
    unasked_section(body, spec, findings, investigation)
    return "<!DOCTYPE html>\n" + ET.tostring(root, "unicode", method="html") + "\n"


def _header(body: ET.Element, findings: Findings) -> None:
    header = element(body, "header")
    element(header, "p", "Investigation", class_="kicker")
    title = element(header, "h1")
    element(title, "bdi", safe_text(findings.name))
    element(header, "p", f"Run {findings.run}", class_="identity")
    counts = Counter(finding.reading for finding in findings.findings)
    totals = element(header, "dl", class_="totals")
    for reading in _HEADINGS:
        pair = element(totals, "div")
        element(pair, "dt", reading.value)
        element(pair, "dd", grouped(counts[reading]))


def _findings(body: ET.Element, findings: Findings, reading: Reading, left: int) -> int:
    """The section of a reading, with at most ``left`` findings; returns how many more the page may have."""
    listed = [finding for finding in findings.findings if finding.reading is reading]
    if not listed:
        return left
    element(body, "h2", _HEADINGS[reading])
    count = findings.questions
    if count and reading in _ABOUT:
        element(
            body, "p", _ABOUT[reading].format(plural(count, "question"), agree(count, "was", "were")), class_="about"
        )
    for finding in listed[:left]:
        _finding(body, finding)
    if len(listed) > left:
        element(body, "p", f"{plural(len(listed) - left, 'further finding')} in findings.json.", class_="note")
    return max(left - len(listed), 0)


def _finding(body: ET.Element, finding: Finding) -> None:
    part = element(body, "section", class_="finding", id=f"finding-{safe_text(finding.id)}")
    element(part, "h3", safe_text(f"{finding.claim}{': ' + finding.detail if finding.detail else ''}", 1000))
    facts = [finding.id]
    if finding.effect is not None:
        effect = finding.effect
        bounds = f" [{effect.low:.4g}, {effect.high:.4g}]" if effect.low is not None and effect.high is not None else ""
        facts.append(f"effect {effect.value:.4g}{bounds} {effect.unit}")
    if finding.n:
        facts.append(f"n {grouped(finding.n)}")
    if finding.p is not None:
        over_all = "" if finding.p_adjusted is None else f", {finding.p_adjusted:.3g} over all questions"
        facts.append(f"p {finding.p:.3g}" + (f", q {finding.q:.3g}" if finding.q is not None else "") + over_all)
    if finding.test:
        facts.append(finding.test)
    element(part, "p", safe_text(" · ".join(facts), 1000), class_="note")
    if finding.explanations:
        listed = element(part, "ul")
        for explanation in finding.explanations:
            entry = element(listed, "li")
            element(entry, "span", explanation.state.value, class_="state")
            text = element(entry, "bdi")
            text.text = safe_text(f": {explanation.what} ({explanation.figure})", 1000)
    if finding.evidence:
        details = element(part, "details")
        element(details, "summary", f"Evidence: {plural(len(finding.evidence), 'row')}")
        rows = element(details, "ul")
        for row in finding.evidence:
            series = f"step {grouped(row.step)} {row.series} = " if row.series else ""
            element(rows, "li", safe_text(f"{series}{row.shown} ({row.file}, {row.unit} {row.offset})", 1000))
    for limit in finding.limits:
        element(part, "p", safe_text(f"Limit: {limit}.", 1000), class_="note")
