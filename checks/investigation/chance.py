"""Which answers are beyond what chance gives among all questions of an investigation that were tested.

Every family of tests keeps its own 5 %: of six families in which nothing is there, one answers falsely in about a
quarter of investigations. A reader reads them together, so they are controlled together, in two levels.

1. A *question* is a family of tests, such as the level shifts of all runs or the primary tasks. Its p is the smallest
   q of its answers that its own tests show, and 1 where they show none (which is never too small).
2. The questions of a part of the investigation (training, data, capabilities, representations) have Simes's p; Holm
   over the parts, and Benjamini-Hochberg over the questions within one: `multiplicity.over_parts`.
3. An answer is adjusted to its q, and to no less than the p of its question. It is `Reading.SHOWN` if that is at most
   `LEVEL`, and else `Reading.CHANCE`, with all its figures.

Answers without a p are facts (what a log says, how many units fire on nothing) or are judged by a threshold (spikes,
divergence, twins); they take no part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from corpus_audit.checks.text.numbers import plural
from corpus_audit.pipelines.statistics.intervals.multiplicity import over_parts
from corpus_audit.schemas.run.findings import Finding, Reading

LEVEL = 0.05
"""Chance that any answer of an investigation is shown by its tests where nothing is there."""


def question_of(finding: Finding) -> tuple[str, str] | None:
    """(part, question) of a finding that was tested; None for all others."""
    if finding.family is None or finding.reading is Reading.NOT_ENOUGH:
        return None
    return finding.bucket, finding.family.partition(",")[0]


def beyond_chance(findings: Sequence[Finding]) -> tuple[list[Finding], int]:
    """The findings with `Finding.p_adjusted`, in their order, and the number of questions that were tested.

    Findings that their own tests show, and that are not beyond chance among all questions, read `Reading.CHANCE`.
    """
    parts: dict[str, dict[str, float]] = defaultdict(dict)
    for finding in findings:
        if (key := question_of(finding)) is not None:
            part, question = key
            p = finding.q if finding.reading is Reading.SHOWN and finding.q is not None else 1.0
            parts[part][question] = min(p, parts[part].get(question, 1.0))
    adjusted = over_parts({part: list(questions.values()) for part, questions in parts.items()})
    of_question = {
        (part, question): float(p)
        for part, questions in parts.items()
        for question, p in zip(questions, adjusted[part], strict=True)
    }
    count = len(of_question)
    return [_judged(finding, of_question, count) for finding in findings], count


def _judged(finding: Finding, of_question: dict[tuple[str, str], float], count: int) -> Finding:
    key = question_of(finding)
    if key is None or finding.reading is not Reading.SHOWN or finding.q is None:
        return finding
    p = max(finding.q, of_question[key])
    if p <= LEVEL:
        return finding.model_copy(update={"p_adjusted": p})
    why = (
        f"beyond chance by its own tests (q {finding.q:.2g}), but not among {plural(count, 'tested question')} "
        f"(adjusted p {p:.2g})"
    )
    detail = f"{finding.detail}; {why}" if finding.detail else why
    return finding.model_copy(update={"p_adjusted": p, "reading": Reading.CHANCE, "detail": detail})
