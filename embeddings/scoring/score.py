"""Explains units with a command and scores explanations with another, and keeps both beside the index."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.lookup.explanations import (
    UnitExplanation,
    add_explanations,
    add_scores,
    explanations_of,
)
from corpus_audit.embeddings.scoring.command import Answers, answers_of, lines_of
from corpus_audit.embeddings.scoring.items import Question, UnitItems, unit_items
from corpus_audit.embeddings.scoring.scores import TaskScore, task_score, verdict_of
from corpus_audit.embeddings.scoring.texts import unit_texts
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.scoring import ScoringSpec
from corpus_audit.schemas.units import Unit

MOST_UNREADABLE = 0.5
"""Share of items without a readable answer above which no score is kept."""

COMMAND = "command"
"""The source of explanations that were made here."""


@dataclass(frozen=True)
class ExplanationScore:
    """An explanation of a unit and how it was scored.

    Attributes:
        unit: the unit.
        explanation: its text.
        held_out: whether the explainer is known to have seen no document of the items.
        scores: by task, those with enough documents.
        reason: why a task is not scored; empty if both are.
    """

    unit: Unit
    explanation: str
    held_out: bool
    scores: list[TaskScore]
    reason: str


@dataclass(frozen=True)
class ScoringResult:
    """What a call made.

    Attributes:
        explanations: with their scores, in the order of the units.
        unexplained: units without an explanation, with the reason.
        unreadable_lines: lines of the scorer that are no answer to an item.
        provenance: what decides the scores, but for the unit and the task; None without a scorer.
    """

    explanations: list[ExplanationScore]
    unexplained: list[tuple[Unit, str]]
    unreadable_lines: int
    provenance: dict[str, Any] | None


def score_units(
    index: Index, units: Sequence[Unit], spec: ScoringSpec, model: str | None = None, items_file: Path | None = None
) -> ScoringResult:
    """Explain units if there is an explainer, score explanations if there is a scorer, and keep both beside the index.

    With an explainer the explanations that it writes are scored, else all those that the index has.

    Args:
        index: the index.
        units: of it.
        spec: commands and settings.
        model: path of the model, if it has moved since the index was made.
        items_file: where the scorer's items are written too, as JSON Lines.

    Raises:
        UsageError: there is neither command; a command fails; more than half of the items have no readable answer
            (nothing is kept then); or as `unit_texts`.
    """
    if spec.explainer is None and spec.scorer is None and items_file is None:
        raise UsageError("the scoring file names neither an explainer nor a scorer")
    needed = spec.examples + 2 * spec.items
    drawn = [
        unit_items(unit, highest, texts, spec)
        for unit, highest, texts in unit_texts(index, units, spec.windows, needed, spec.active, model)
    ]
    explained, unexplained = _explanations(index, drawn, spec)
    questions = [(each, text, question) for each, text in explained for question in each.questions]
    items, question_by_id = _numbered(questions, spec.seed)
    if items_file is not None:
        items_file.write_bytes(lines_of(items))
    held_out = spec.explainer is not None
    if spec.scorer is None or not items:
        bare = [ExplanationScore(each.unit, text, held_out, [], each.reason) for each, text in explained]
        return ScoringResult(bare, unexplained, 0, None)
    answers = answers_of(spec.scorer, items, spec.timeout)
    _check_readable(answers, [str(item["id"]) for item in items], spec.scorer[0])
    provenance = _provenance(index, spec, items, answers, held_out)
    results = []
    for each, text in explained:
        scores = []
        for task in ("detection", "fuzzing"):
            own = [
                (question.truth, answers.by_id.get(name))
                for name, (of, of_text, question) in question_by_id.items()
                if of is each and of_text == text and question.task == task
            ]
            if own:
                scores.append(task_score(task, [truth for truth, _ in own], [answer for _, answer in own]))
        results.append(ExplanationScore(each.unit, text, held_out, scores, each.reason))
    add_scores(
        index,
        {
            (str(each.unit), each.explanation): [asdict(score) | provenance for score in each.scores]
            for each in results
            if each.scores
        },
    )
    return ScoringResult(results, unexplained, answers.unreadable, provenance)


def _explanations(
    index: Index, drawn: Sequence[UnitItems], spec: ScoringSpec
) -> tuple[list[tuple[UnitItems, str]], list[tuple[Unit, str]]]:
    """Explanations of units, made now or stored before, each with its unit's items; and units without one."""
    if spec.explainer is None:
        stored = [(each, list(dict.fromkeys(e.text for e in explanations_of(index, each.unit)))) for each in drawn]
        missing = [(each.unit, "the index has no explanation of it") for each, texts in stored if not texts]
        return [(each, text) for each, texts in stored for text in texts], missing
    with_examples = [each for each in drawn if each.examples]
    unexplained = [(each.unit, each.reason or "no example") for each in drawn if not each.examples]
    items = [
        {"id": f"{number:06d}", "task": "explanation", "unit": str(each.unit), "examples": each.examples}
        for number, each in enumerate(with_examples)
    ]
    answers = answers_of(spec.explainer, items, spec.timeout) if items else Answers({}, 0, b"")
    explained: list[tuple[UnitItems, str]] = []
    for item, each in zip(items, with_examples, strict=True):
        text = answers.by_id.get(str(item["id"]), {}).get("explanation")
        if isinstance(text, str) and text.strip():
            explained.append((each, text.strip()))
        else:
            unexplained.append((each.unit, "the explainer gave no explanation"))
    if items and not explained:
        raise UsageError(
            f"{spec.explainer[0]} explained none of {len(items):,} units: an answer has id and explanation"
        )
    made_by = " ".join(spec.explainer)
    add_explanations(index, {str(each.unit): UnitExplanation(text, COMMAND, made_by) for each, text in explained})
    return explained, unexplained


def _numbered(
    questions: Sequence[tuple[UnitItems, str, Question]], seed: int
) -> tuple[list[dict[str, Any]], dict[str, tuple[UnitItems, str, Question]]]:
    """Items in random order, so that neither order nor id says anything, and by id what they are."""
    order = np.random.default_rng([seed, 1]).permutation(len(questions)).tolist()
    items, by_id = [], {}
    for number, at in enumerate(order):
        each, text, question = questions[at]
        name = f"{number:06d}"
        head = {"id": name, "task": question.task, "unit": str(each.unit), "explanation": text}
        items.append(head | question.content)
        by_id[name] = questions[at]
    return items, by_id


def _check_readable(answers: Answers, names: Sequence[str], program: str) -> None:
    readable = sum(verdict_of(answers.by_id.get(name))[0] is not None for name in names)
    if len(names) - readable > MOST_UNREADABLE * len(names):
        raise UsageError(
            f"{program} gave a readable answer to {readable:,} of {len(names):,} items: nothing is kept. An answer is "
            'a line such as {"id": "000000", "answer": true, "score": 0.9}'
        )


def _provenance(
    index: Index, spec: ScoringSpec, items: Sequence[dict[str, Any]], answers: Answers, held_out: bool
) -> dict[str, Any]:
    facts = index.facts
    return {
        "command": list(spec.scorer or ()),
        "explainer": None if spec.explainer is None else list(spec.explainer),
        "held_out": held_out,
        "settings": spec.model_dump(mode="json", exclude={"explainer", "scorer", "timeout"}),
        "items_sha256": hashlib.sha256(lines_of(items)).hexdigest(),
        "answers_sha256": hashlib.sha256(answers.output).hexdigest(),
        "model": facts.model["digest"],
        "snapshot": facts.snapshot,
        "scan": facts.scan,
    }
