"""Evaluates the demo's model: likelihood of texts that it has not seen, and which of four continuations it prefers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus_audit.runners.demo.investigation.corpus import LENGTH, Document, windows
from corpus_audit.runners.demo.investigation.language_model import CONTEXT, LanguageModel, Tokens

ITEMS_A_DOCUMENT = 4
CHOICES = 4
_PROSE = ("documentation", "licences")
_SEED = 21


@dataclass(frozen=True, slots=True)
class Item:
    """A position in a document that was held out.

    Attributes:
        name: of the item; document: it is from; task: ``code`` or ``prose``.
        rows: a context with the true continuation, then with those of other items, [CHOICES, CONTEXT + LENGTH].
    """

    name: str
    document: str
    task: str
    rows: Tokens


def make_items(documents: tuple[Document, ...]) -> tuple[Item, ...]:
    """Items of held-out documents; wrong continuations are those of other items, so that all are real text."""
    generator = np.random.default_rng(_SEED)
    cuts: list[tuple[Document, int, Tokens]] = []
    for document in documents:
        for number in range(ITEMS_A_DOCUMENT):
            begin = int(generator.integers(0, len(document.tokens) - CONTEXT - LENGTH + 1))
            cuts.append((document, number, document.tokens[begin : begin + CONTEXT + LENGTH]))
    items = []
    for document, number, true in cuts:
        rows = np.tile(true, (CHOICES, 1))
        for choice, other in enumerate(generator.integers(0, len(cuts), CHOICES - 1).tolist(), 1):
            rows[choice, CONTEXT:] = cuts[other][2][CONTEXT:]
        task = "prose" if document.domain in _PROSE else "code"
        items.append(Item(f"{document.name}#{number}", document.name, task, rows))
    return tuple(items)


def evaluate(model: LanguageModel, items: tuple[Item, ...], path: Path) -> None:
    """Write the scores of every item as JSON lines: its log-likelihood a token, and whether the model prefers it."""
    contexts, targets = windows(np.concatenate([item.rows for item in items]))
    nats = model.losses(contexts, targets).reshape(len(items), CHOICES, LENGTH).mean(axis=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for item, of_choices in zip(items, nats.tolist(), strict=True):
            prompt = hashlib.sha256(item.rows[0].tobytes()).hexdigest()[:16]
            best = all(of_choices[0] < other for other in of_choices[1:])
            for metric, score in (("log_likelihood", -of_choices[0]), ("choice", float(best))):
                row = {"task": item.task, "item": item.name, "document": item.document, "prompt_hash": prompt}
                file.write(json.dumps(row | {"metric": metric, "score": score}) + "\n")
