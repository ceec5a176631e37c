"""Items for an explainer and a scorer: texts of a unit, drawn so that classes are balanced and documents held out.

Detection and fuzzing are those of Paulo et al. (2024, arXiv 2410.13928): does the unit fire on this text, and are these
the tokens on which it fires? `README.md` of this folder describes the JSON of an item.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from corpus_audit.embeddings.scoring.texts import UnitText
from corpus_audit.schemas.spec.scoring import ScoringSpec
from corpus_audit.schemas.units import Unit

LEAST = 5
"""Items of a class with which a task is scored."""

OPEN, CLOSE = "<<", ">>"


@dataclass(frozen=True)
class Question:
    """An item before it has an explanation: what the scorer is shown, and the right answer.

    Attributes:
        task: detection or fuzzing.
        content: its keys.
        truth: the right answer.
        document: key of the text's document, which no other item of the task has.
    """

    task: str
    content: dict[str, Any]
    truth: bool
    document: bytes


@dataclass(frozen=True)
class UnitItems:
    """What is asked of one unit.

    Attributes:
        unit: the unit.
        examples: what the explainer sees, strongest first.
        questions: of both tasks; a task with too few documents has none.
        reason: why a task has none; empty if both have some.
    """

    unit: Unit
    examples: list[dict[str, Any]]
    questions: list[Question]
    reason: str


def unit_items(unit: Unit, highest: float, texts: Sequence[UnitText], spec: ScoringSpec) -> UnitItems:
    """Draw the items of a unit; the same for the same texts and seed.

    Documents on which the unit is active are ordered by its highest activation there and cut into as many parts of one
    size as texts are needed, of which each gives one, so that all strengths are among them. The explainer's documents
    are in no item.

    Args:
        unit: the unit.
        highest: its highest activation in the corpus.
        texts: of it.
        spec: how many items, and which texts are active.
    """
    digest = hashlib.sha256(str(unit).encode()).digest()
    rng = np.random.default_rng([spec.seed, int.from_bytes(digest[:8], "big")])
    if highest <= 0:
        return UnitItems(unit, [], [], "its highest activation is not above 0")
    best: dict[bytes, UnitText] = {}
    for text in texts:
        if text.document not in best or text.highest > best[text.document].highest:
            best[text.document] = text
    active = sorted(
        (text for text in best.values() if text.highest >= spec.active * highest),
        key=lambda t: (-t.highest, t.document),
    )
    shown, rest = _spread(active, min(spec.examples, len(active) // 3), rng)
    quiet = _quiet(texts, {text.document for text in active}, spec.inactive * highest, rng)
    questions: list[Question] = []
    reasons = []
    count = min(spec.items, len(rest), len(quiet))
    if count >= LEAST:
        questions += [_detection(text.cropped(spec.context, rng), True) for text in _spread(rest, count, rng)[0]]
        questions += [_detection(text.cropped(spec.context, rng), False) for text in quiet[:count]]
    else:
        reasons.append(
            f"detection: {len(rest)} further documents activate it and {len(quiet)} do not; {LEAST} of each are needed"
        )
    cropped = [text.cropped(spec.context, rng) for text in rest]
    usable = [text for text in cropped if (_quiet_tokens(text, spec.inactive * highest)).any()]
    count = min(spec.items, len(usable) // 2)
    if count >= LEAST:
        some, others = _spread(usable, count, rng)
        questions += [_fuzzing(text, text.values >= spec.active * highest, True) for text in some]
        for text in _spread(others, count, rng)[0]:
            number = int((text.values >= spec.active * highest).sum())
            free = np.flatnonzero(_quiet_tokens(text, spec.inactive * highest))
            wrong = np.zeros(len(text.values), bool)
            wrong[rng.choice(free, min(number, len(free)), replace=False)] = True
            questions.append(_fuzzing(text, wrong, False))
    else:
        reasons.append(f"fuzzing: {len(usable)} further documents activate it; {2 * LEAST} are needed")
    order = rng.permutation(len(questions)).tolist()
    examples = [_example(text.cropped(spec.context, rng), spec.active * highest) for text in shown]
    return UnitItems(unit, examples, [questions[i] for i in order], "; ".join(reasons))


def _spread(texts: Sequence[UnitText], count: int, rng: np.random.Generator) -> tuple[list[UnitText], list[UnitText]]:
    """One text of each of ``count`` consecutive parts, and all others."""
    edges = np.linspace(0, len(texts), count + 1).astype(int) if count else np.zeros(1, int)
    drawn = {int(rng.integers(low, high)) for low, high in pairwise(edges.tolist())}
    return [texts[i] for i in sorted(drawn)], [text for i, text in enumerate(texts) if i not in drawn]


def _quiet(texts: Sequence[UnitText], without: set[bytes], limit: float, rng: np.random.Generator) -> list[UnitText]:
    """One text of each document on which the unit is nowhere above a limit, in random order."""
    highest: dict[bytes, float] = {}
    of_document: dict[bytes, list[UnitText]] = {}
    for text in texts:
        of_document.setdefault(text.document, []).append(text)
        highest[text.document] = max(highest.get(text.document, -np.inf), text.highest)
    quiet = sorted(key for key, value in highest.items() if key not in without)
    drawn = []
    for key in (quiet[i] for i in rng.permutation(len(quiet)).tolist()):
        some = [text for text in of_document[key] if text.highest <= limit]
        if some:
            drawn.append(some[int(rng.integers(len(some)))])
    return drawn


def _quiet_tokens(text: UnitText, limit: float) -> np.ndarray:
    quiet: np.ndarray = np.isfinite(text.values) & (text.values <= limit)
    return quiet


def marked(text: UnitText, marks: np.ndarray) -> tuple[str, list[list[int]]]:
    """A text with ``<<`` and ``>>`` around runs of marked tokens, and where these runs are in the text without."""
    spans: list[list[int]] = []
    before = -2
    for at in np.flatnonzero(marks).tolist():
        # Tokens that share a character, as of bytes, are one run.
        if at == before + 1 or (spans and int(text.starts[at]) < spans[-1][1]):
            spans[-1][1] = max(spans[-1][1], int(text.ends[at]))
        else:
            spans.append([int(text.starts[at]), int(text.ends[at])])
        before = at
    parts, end = [], 0
    for first, last in spans:
        parts += [text.text[end:first], OPEN, text.text[first:last], CLOSE]
        end = last
    return "".join([*parts, text.text[end:]]), spans


def _detection(text: UnitText, truth: bool) -> Question:
    return Question("detection", {"text": text.text}, truth, text.document)


def _fuzzing(text: UnitText, marks: np.ndarray, truth: bool) -> Question:
    with_marks, spans = marked(text, marks)
    return Question("fuzzing", {"text": text.text, "marked_text": with_marks, "marked": spans}, truth, text.document)


def _example(text: UnitText, limit: float) -> dict[str, Any]:
    with_marks, spans = marked(text, text.values >= limit)
    tokens = [text.text[start:end] for start, end in zip(text.starts.tolist(), text.ends.tolist(), strict=True)]
    values = [float(f"{value:.4g}") if np.isfinite(value) else None for value in text.values.tolist()]
    return {"text": text.text, "marked_text": with_marks, "marked": spans, "tokens": tokens, "activations": values}
