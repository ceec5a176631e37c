"""Encodes texts as vectors, with the model and the window plan of an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from corpus_audit.embeddings.index.files import IndexFacts
from corpus_audit.embeddings.index.vectors import document_means
from corpus_audit.embeddings.models.hooks import Taps
from corpus_audit.embeddings.models.models import LanguageModel, load_model
from corpus_audit.embeddings.scan.forward import pool
from corpus_audit.embeddings.scan.pooling import Pooling
from corpus_audit.embeddings.scan.windows import WindowPlan, cut, document_key
from corpus_audit.schemas.errors import UsageError

BATCH_TOKENS = 4096


@dataclass(frozen=True)
class TextEncoder:
    """Gives texts the vectors that documents of the corpus have; its taps are hooked."""

    model: LanguageModel
    taps: Taps
    plan: WindowPlan
    batch_tokens: int = BATCH_TOKENS

    def means(self, texts: Sequence[str]) -> np.ndarray:
        """The mean of each text's windows at length 1, float32 [N, d]; zero for a text without a token that counts."""
        pooling = Pooling(self.taps.hidden, 1)
        means = np.zeros((len(texts), self.taps.hidden), np.float32)
        keys = [document_key(str(i), text) for i, text in enumerate(texts)]  # numbered: equal texts stay apart
        windows = cut(texts, keys, self.model.tokenizer, self.plan)
        pool(self.taps, windows, self.batch_tokens, pooling)
        order = np.argsort(windows.ids[:, 0])  # as `Pooling.vectors` gives them
        documents, document_vectors = document_means(pooling.vectors().mean, windows.document[order])
        means[documents] = document_vectors
        return means


@contextmanager
def open_encoder(facts: IndexFacts, folder: Path, model: str | None = None) -> Iterator[TextEncoder]:
    """Open an encoder that gives texts the vectors that an index's documents have.

    Raises:
        UsageError: the index has no vectors, or as `open_model`.
    """
    if facts.vectors is None:
        raise UsageError("the index was made without vectors of windows (embedding.vectors)")
    loaded = open_model(facts, folder, model)
    card = loaded.card
    taps = Taps(loaded, (), stream=facts.vectors["block"])
    plan = WindowPlan(facts.window, 0, card.causal, card.prefix, card.suffix, card.special, card.tokenizer)
    with taps.hooked():
        yield TextEncoder(loaded, taps, plan)


def open_model(facts: IndexFacts, folder: Path, model: str | None = None, with_head: bool = False) -> LanguageModel:
    """Load the model of an index.

    Args:
        facts: the index's `index.json`.
        folder: the index's folder; a model's relative path is resolved from the working directory, then from the
            folders above the index.
        model: path or name of the model, if it has moved since the index was made.
        with_head: also load its output layer.

    Raises:
        UsageError: the model does not exist, or is not the one of the index.
    """
    facts.check_reads_text("activations of tokens")
    name = model or str(facts.model["name"])
    bases = [Path.cwd(), *(() if model else folder.resolve().parents)]
    base = next((base for base in bases if (base / name).is_dir()), Path.cwd())
    loaded = load_model(name, base, with_head=with_head)
    card = loaded.card
    if (card.digest, card.tokenizer) != (facts.model["digest"], facts.model["tokenizer"]):
        raise UsageError(f"{name} is not the model of the index: its weights or its tokenizer differ")
    # The prefix of the index's own windows: the audit may have added or removed the token that begins a text.
    prefix = tuple(facts.model.get("prefix", card.prefix))
    return replace(loaded, card=replace(card, prefix=prefix))
