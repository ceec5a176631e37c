"""One head of a loaded model: what it does at the peaks of an index's examples, or on a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpus_audit.embeddings.attention.loading import load_attention_model
from corpus_audit.embeddings.attention.reader import AttentionReader
from corpus_audit.embeddings.attention.readout import direct_readout
from corpus_audit.embeddings.attention.rows import AttentionRow, attention_row
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Unit


@dataclass(frozen=True)
class TextWindow:
    """A text as a model reads it.

    Attributes:
        tokens: ids, special ones included.
        starts, ends: int [L], code points of the text where each token starts and ends; -1 for special ones.
    """

    tokens: list[int]
    starts: np.ndarray
    ends: np.ndarray


def text_window(model: LanguageModel, text: str, most: int | None = None) -> TextWindow:
    """A text as one window.

    Args:
        model: that reads it.
        text: the text.
        most: tokens, special ones included, that it may have; None: as many as the model reads.

    Raises:
        UsageError: it has no token, or more than ``most``.
    """
    card = model.card
    encoding = model.tokenizer.encode(text, add_special_tokens=False)
    tokens = [*card.prefix, *encoding.ids, *card.suffix]
    limit = min(model.longest, most or model.longest)
    if not encoding.ids:
        raise UsageError("the text has no token")
    if len(tokens) > limit:
        raise UsageError(f"the text has {len(tokens):,} tokens with special ones; at most {limit:,} are read at once")
    offsets = np.array([(-1, -1)] * len(card.prefix) + list(encoding.offsets) + [(-1, -1)] * len(card.suffix), np.int64)
    return TextWindow(tokens, offsets[:, 0], offsets[:, 1])


def window_tokens(index: Index, window: int) -> list[int]:
    """Token ids of a stored window, special ones included."""
    row = int(index.window_names.searchsorted(np.uint64(window)))
    tokens: list[int] = index.windows["tokens"][row].as_py()
    return tokens


class HeadReader:
    """Reads one head of a loaded model.

    Attributes:
        model: the model.
        without_logits: why it offers no direct logits; empty if it does.
    """

    def __init__(self, model: LanguageModel, unit: Unit) -> None:
        """Check that the head's attention can be read.

        Raises:
            UsageError: it cannot, or the unit is no head.
        """
        if unit.point.kind is not Kind.HEAD or unit.point.block is None:
            raise UsageError(f"{unit} is no attention head: write head.1:7")
        self.model, self._block, self._head = model, unit.point.block, unit.index
        self._reader = AttentionReader(model)
        self._reader.check_head(self._block, self._head)
        self._readout, self.without_logits = direct_readout(model, self._reader.trace)

    def row(self, tokens: Sequence[int], position: int | None = None, pattern: bool = False) -> AttentionRow:
        """The head at one query of a window, as `rows.attention_row`."""
        return attention_row(self._reader, tokens, self._block, self._head, position, pattern, self._readout)

    def row_of(self, index: Index, example: Example, pattern: bool = False) -> AttentionRow:
        """The head at the peak of an example."""
        return self.row(window_tokens(index, example.window), example.position, pattern)

    def texts(self, ids: Sequence[int]) -> list[str]:
        """The text of each token id."""
        return [str(self.model.tokenizer.decode([i], skip_special_tokens=False)) for i in ids]

    def row_values(self, row: AttentionRow) -> dict[str, Any]:
        """What the head does at one query, as plain values: columns of `attention_tables.ATTENTION_EXAMPLES`."""
        raised, lowered = ([i for i, _ in row.raised], [i for i, _ in row.lowered])
        return {
            "position": row.position,
            "value": row.value,
            "weights": row.weights.tolist(),
            "norms": row.norms.tolist(),
            "raised": raised,
            "raised_tokens": self.texts(raised),
            "raised_by": [value for _, value in row.raised],
            "lowered": lowered,
            "lowered_tokens": self.texts(lowered),
            "lowered_by": [value for _, value in row.lowered],
        }


def open_head(index: Index, unit: Unit, model: str | None) -> HeadReader:
    """Load the model of an index to read one of its heads.

    Raises:
        UsageError: as `load_attention_model`, or the head's attention cannot be read.
    """
    return HeadReader(load_attention_model(index, model), unit)
