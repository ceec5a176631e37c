"""What ``investigate`` prints: findings by reading, and one finding in full."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator

from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.schemas.run.findings import Finding, Findings, Reading, State

MOST_SHOWN = 30
"""Findings of a reading that are listed; the file has all."""

_WORDS = {
    Reading.SHOWN: "Shown", Reading.CHANCE: "Not beyond chance", Reading.NOT_ENOUGH: "Not enough data",
    Reading.NOT_SHOWN: "Not shown",
}  # fmt: skip


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    safe = safe_text(text, 2000)
    return textwrap.wrap(safe, width, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)


def findings_lines(findings: Findings, width: int) -> Iterator[str]:
    """Every finding in a line or two, the shown ones first."""
    counts = Counter(finding.reading for finding in findings.findings)
    yield safe_text(findings.name, width)
    for reading in _WORDS:
        if not counts[reading]:
            continue
        yield ""
        among = f" among {plural(findings.questions, 'tested question')}" if reading is Reading.CHANCE else ""
        yield f"{_WORDS[reading]}{among} ({counts[reading]})"
        for finding in [f for f in findings.findings if f.reading is reading][:MOST_SHOWN]:
            detail = f": {finding.detail}" if finding.detail else ""
            yield from _wrapped(f"{finding.id}: {finding.claim}{detail}", width, "  ")
            ruled_out = [e for e in finding.explanations if e.state is State.RULED_OUT]
            if ruled_out:
                names = ", ".join(explanation.what for explanation in ruled_out)
                yield from _wrapped(f"ruled out: {names}", width, "    ")
        if counts[reading] > MOST_SHOWN:
            yield f"  {counts[reading] - MOST_SHOWN} further ones are in findings.json"


def finding_lines(finding: Finding, width: int) -> Iterator[str]:
    """One finding in full."""
    yield safe_text(finding.id, width)
    yield from _wrapped(finding.question, width, "")
    yield ""
    detail = f": {finding.detail}" if finding.detail else ""
    yield from _wrapped(f"{_WORDS[finding.reading]}: {finding.claim}{detail}", width, "")
    yield ""
    if finding.effect is not None:
        effect = finding.effect
        bounds = f" [{effect.low:.4g}, {effect.high:.4g}]" if effect.low is not None and effect.high is not None else ""
        yield f"effect     {effect.value:.4g}{bounds} {effect.unit}"
    if finding.window is not None:
        window = finding.window
        yield f"window     steps {grouped(window.first)} to {grouped(window.last)} of {window.run}"
    excluded = ", ".join(f"{grouped(n)} {safe_text(reason, 80)}" for reason, n in finding.excluded.items() if n)
    yield f"n          {grouped(finding.n)}" + (f", without {excluded}" if excluded else "")
    if finding.test:
        yield from _wrapped(f"test       {finding.test}", width, "")
    if finding.p is not None:
        over_all = "" if finding.p_adjusted is None else f", {finding.p_adjusted:.3g} over all questions"
        yield f"p          {finding.p:.3g}" + (f", q {finding.q:.3g}" if finding.q is not None else "") + over_all
    if finding.explanations:
        yield ""
        yield "What else could explain it"
        for explanation in finding.explanations:
            yield from _wrapped(f"{explanation.state.value}: {explanation.what} ({explanation.figure})", width, "  ")
    if finding.evidence:
        yield ""
        yield "Evidence"
        for row in finding.evidence:
            location = f"{row.file}, {row.unit} {row.offset}"
            series = f"step {grouped(row.step)} {row.series} = " if row.series else ""
            yield from _wrapped(f"{series}{row.shown} ({location})", width, "  ")
    for limit in finding.limits:
        yield ""
        yield from _wrapped(f"Limit: {limit}", width, "")
