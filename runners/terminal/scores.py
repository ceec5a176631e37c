"""What ``index score`` prints, and the line of a score in ``lookup``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text

if TYPE_CHECKING:  # scipy comes with it, and lookup does without
    from corpus_audit.embeddings.scoring.score import ScoringResult

WIDTH = 80


def score_lines(result: ScoringResult) -> Iterator[str]:
    """Explanations with their scores, at most 80 columns."""
    for each in result.explanations:
        yield fit(f"{each.unit}  {safe_text(' '.join(each.explanation.split()), 400)}", WIDTH).rstrip()
        for score in each.scores:
            yield f"  {score_line(asdict(score))}"
        for reason in filter(None, each.reason.split("; ")):
            yield fit(f"  not scored, {reason}", WIDTH).rstrip()
    for unit, reason in result.unexplained:
        yield fit(f"{unit}  not explained: {safe_text(reason, 200)}", WIDTH).rstrip()
    if any(each.scores for each in result.explanations):
        yield "(balanced accuracy [95 %]; 0.5 is what random answers get on average)"
        if not result.explanations[0].held_out:
            yield "(what the explanations were made from is not known: items may be among it)"
    if result.unreadable_lines:
        yield f"({numbers.plural(result.unreadable_lines, 'line')} of the scorer {_are(result)} no answer to an item)"


def _are(result: ScoringResult) -> str:
    return "is" if result.unreadable_lines == 1 else "are"


def score_line(score: Mapping[str, Any]) -> str:
    """A stored score on a line."""
    auc = "" if score["auc"] is None else f"  AUC {score['auc']:.2f}"
    line = (
        f"{score['task']:9} {score['balanced_accuracy']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"
        f"  F1 {score['f1']:.2f}{auc}  {score['items']} items"
    )
    return line + (f", {score['unreadable']} unreadable" if score["unreadable"] else "")
