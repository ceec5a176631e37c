"""Encodes the text of a query with the model of an index: in numpy where the model is known there, else with torch."""

from __future__ import annotations

import numpy as np

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.numpy_models.bert import UnknownModelError
from corpus_audit.embeddings.numpy_models.encoder import open_numpy_model
from corpus_audit.schemas.errors import UsageError


def query_vector(index: Index, text: str, model: str | None = None) -> np.ndarray:
    """The vector that a document of this text has in an index, float32 [d]; zero if no token of it counts.

    Args:
        index: the index.
        text: of the query.
        model: path of the model, if it has moved since the index was made.

    Raises:
        UsageError: the index has no vectors, or the model does not exist or is not the index's.
        ModuleNotFoundError: the extra is not installed.
    """
    if index.facts.vectors is None:
        raise UsageError("the index was made without vectors of windows (embedding.vectors)")
    light = open_numpy_model(index.facts, index.folder, model)
    if light is not None:
        try:
            vector: np.ndarray = light.means([text], index.facts.vectors["block"])[0]
            return vector
        except UnknownModelError:  # what it needs is seen only now
            pass
    from corpus_audit.embeddings.scan.encoder import open_encoder

    with open_encoder(index.facts, index.folder, model) as encoder:
        encoded: np.ndarray = encoder.means([text])[0]
        return encoded
