"""The scaling law of an investigation on its page: the run against it, the optimum, and the constants."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from corpus_audit.checks.investigation.scaling_findings import (
    ScalingAnalysis,
    optimum_sentence,
    unique_finding,
)
from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.report.investigation.law_chart import law_charts
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.schemas.run.findings import Finding

_CAPTION = "L = E + A / N^alpha + B / D^beta, loss in nats a token, N parameters, D tokens"


def law_section(body: ET.Element, analysis: ScalingAnalysis, finding: Finding) -> None:
    """Append the section; ``finding`` is that of the holdout, as it was judged among all others."""
    element(body, "h2", "Scaling law")
    words = f"{finding.reading.value.capitalize()}: {finding.claim}: {finding.detail}."
    element(body, "p", safe_text(words, 1000), class_="about")
    optimum = optimum_sentence(analysis)
    if optimum is not None:
        element(body, "p", safe_text(optimum, 1000), class_="about")
    unique = unique_finding(analysis)
    if unique is not None:
        words = f"{unique.reading.value.capitalize()}: {unique.claim}: {unique.detail}."
        element(body, "p", safe_text(words, 1000), class_="about")
    if analysis.law is None:
        return
    law_charts(body, analysis)
    scroll = element(body, "div", class_="scroll", tabindex="0", role="region", aria_label="Constants of the law")
    table = element(scroll, "table", class_="scores")
    element(element(table, "caption"), "span", _CAPTION)
    head = element(element(table, "thead"), "tr")
    for name, kind in (("Constant", ""), ("Value", "n"), ("95 % interval", "n")):
        element(head, "th", name, scope="col", **({"class_": kind} if kind else {}))
    rows = element(table, "tbody")
    for name, estimate in analysis.law.intervals.items():
        row = element(rows, "tr")
        element(row, "th", name, scope="row")
        element(row, "td", f"{estimate.value:.4g}", class_="n")
        element(row, "td", f"{estimate.low:.4g} to {estimate.high:.4g}", class_="n")
