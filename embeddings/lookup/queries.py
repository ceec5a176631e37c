"""Encodes the text of a query with the model of an index: in numpy where the model is known there, else with torch.

A command encodes one text and ends. A notebook or a service keeps a `QueryEncoder`, which loads the model once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.lookup.search import WindowSearch
from corpus_audit.embeddings.numpy_models.bert import UnknownModelError
from corpus_audit.embeddings.numpy_models.encoder import open_numpy_model
from corpus_audit.schemas.errors import UsageError

if TYPE_CHECKING:  # torch comes with it
    from corpus_audit.embeddings.scan.encoder import TextEncoder


class QueryEncoder:
    """Gives texts the vectors that documents of an index have, and searches with them; the model is loaded once.

    A context manager; `close` lets the model go. One encoder serves one thread at a time.
    """

    def __init__(self, index: Index, model: str | None = None) -> None:
        """Check that the index has vectors; the model is loaded with the first text.

        Args:
            index: the index.
            model: path of the model, if it has moved since the index was made.

        Raises:
            UsageError: the index has no vectors; or the model is a folder that is not the index's.
        """
        if index.facts.vectors is None:
            raise UsageError("the index was made without vectors of windows (embedding.vectors)")
        self._index, self._model = index, model
        self._block: int = index.facts.vectors["block"]
        self._light = open_numpy_model(index.facts, index.folder, model)
        self._stack = ExitStack()

    def means(self, texts: Sequence[str]) -> np.ndarray:
        """The vector that a document of each text has in the index, float32 [N, d]; zero if no token of it counts.

        Raises:
            UsageError: the model does not exist or is not the index's.
            ModuleNotFoundError: the extra is not installed.
        """
        if self._light is not None:
            try:
                return self._light.means(texts, self._block)
            except UnknownModelError:  # what it needs is seen only now
                self._light = None
        encoded: np.ndarray = self._encoder.means(texts)
        return encoded

    def search(
        self, text: str, k: int = 10, *, domain: str | None = None, per_document: int | None = None
    ) -> list[Example]:
        """The windows nearest in meaning to a text, as `WindowSearch.nearest` gives them.

        Raises:
            UsageError: no token of the text counts, there is no such domain, or as `means`.
        """
        query = self.means([text])[0]
        if not query.any():
            raise UsageError("the text has no token that the model counts")
        return self._windows.nearest(query, k, domain=domain, per_document=per_document)

    def close(self) -> None:
        """Take the model's hooks off and let it go."""
        self._stack.close()
        self.__dict__.pop("_encoder", None)
        self._light = None

    def __enter__(self) -> QueryEncoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def _windows(self) -> WindowSearch:
        return WindowSearch(self._index)

    @cached_property
    def _encoder(self) -> TextEncoder:
        from corpus_audit.embeddings.scan.encoder import open_encoder

        return self._stack.enter_context(open_encoder(self._index.facts, self._index.folder, self._model))


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
    with QueryEncoder(index, model) as encoder:
        vector: np.ndarray = encoder.means([text])[0]
        return vector
