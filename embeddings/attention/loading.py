"""Loads the model of an index, or one by name, with its output layer if it has one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.models.models import LanguageModel, load_model
from corpus_audit.embeddings.scan.encoder import open_model
from corpus_audit.schemas.errors import UsageError


def load_attention_model(index: Index | None, name: str | None) -> LanguageModel:
    """Load a model with its output layer, or without one if its files have none (a sentence encoder).

    Args:
        index: the index whose model it is; None for a model without an index.
        name: path or hub name; with an index only if the model has moved.

    Raises:
        UsageError: the model does not exist, cannot be loaded, or is not the one of the index.
    """
    try:
        return _load(index, name, with_head=True)
    except UsageError:
        return _load(index, name, with_head=False)  # says what is wrong, if that is not the output layer


def _load(index: Index | None, name: str | None, with_head: bool) -> LanguageModel:
    if index is not None:
        return open_model(index.facts, index.folder, name, with_head=with_head)
    assert name is not None
    return load_model(name, Path.cwd(), with_head=with_head)


def model_source(model: LanguageModel) -> dict[str, Any]:
    """The provenance of results that are of a model alone."""
    card = model.card
    return {"model": card.name, "model_digest": card.digest, "tokenizer": card.tokenizer, "snapshot": None}
