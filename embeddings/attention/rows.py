"""What a head does at one token: how much it attends to each token, and what it writes from each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from corpus_audit.embeddings.attention.reader import AttentionReader, BlockAttention
from corpus_audit.embeddings.attention.readout import Readout, extremes, stream_after
from corpus_audit.embeddings.attention.trace import writes_to_stream
from corpus_audit.embeddings.scan.batches import LEAST_TOKENS

LOGITS = 8
"""Direct logits that are listed at each end."""


@dataclass(frozen=True)
class AttentionRow:
    """A head at one query of a window of L tokens.

    Attributes:
        block, head: which head.
        position: of the query.
        weights: float32 [L], attention to every token; they add up to 1 (less where the model has a sink of its own).
        norms: float32 [L], ||A_pj v_j W_O||: the length of what the head writes from each token.
        value: the length of their sum, ||z W_O||: the activation of the unit.
        pattern: float32 [L, L], attention of every query (rows) to every token; None unless it was asked for.
        raised, lowered: the ids whose logits the head raises and lowers most, directly, with by how much, relative to
            the mean over all ids; empty where a model offers none.
    """

    block: int
    head: int
    position: int
    weights: np.ndarray
    norms: np.ndarray
    value: float
    pattern: np.ndarray | None = None
    raised: tuple[tuple[int, float], ...] = ()
    lowered: tuple[tuple[int, float], ...] = ()


def attention_row(
    reader: AttentionReader,
    tokens: Sequence[int],
    block: int,
    head: int,
    position: int | None = None,
    pattern: bool = False,
    readout: Readout | None = None,
) -> AttentionRow:
    """A head at one query.

    Args:
        reader: of the model.
        tokens: of the window, special ones included.
        block, head: which head.
        position: of the query; None: where the head writes most, of the tokens that are not special.
        pattern: also the attention of all queries.
        readout: for direct logits; they are left out if what the head writes does not reach the stream as it is.

    Raises:
        UsageError: the head's attention cannot be read.
    """
    reader.check_head(block, head)
    model = reader.model
    weights, values, stream = _read_head(reader, tokens, block, head)
    with torch.inference_mode():
        written = values @ reader.output_weights(block)[head]
        lengths = (weights @ written).norm(dim=-1)
        if position is None:
            special = set(model.card.special)
            usable = torch.tensor([token not in special for token in tokens], device=lengths.device)
            position = int(lengths.masked_fill(~usable, -1.0).argmax()) if usable.any() else len(tokens) - 1
        row = weights[position]
        raised: tuple[tuple[int, float], ...] = ()
        lowered: tuple[tuple[int, float], ...] = ()
        if readout is not None and readout.is_linear and writes_to_stream(model, reader.trace, block):
            logits = readout.direct(row @ written, stream[position].float())
            raised, lowered = extremes(logits - logits.mean(), LOGITS)
    return AttentionRow(
        block,
        head,
        position,
        row.cpu().numpy(),
        (row * written.norm(dim=-1)).cpu().numpy(),
        float(lengths[position]),
        weights.cpu().numpy() if pattern else None,
        raised,
        lowered,
    )


def _read_head(
    reader: AttentionReader, tokens: Sequence[int], block: int, head: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights [L, L] and values [L, v] of a head on a window, and the stream [L, d] after the last block."""
    model = reader.model
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def sink(attention: BlockAttention) -> None:
        if attention.block == block:
            kept.append((attention.weights[0, head].float(), attention.value[0, head].float()))

    ids = torch.tensor([list(tokens)], device=model.device)
    ids = ids.repeat(-(-LEAST_TOKENS // len(tokens)), 1)  # as in `batches`: fewer tokens round differently
    stream: list[torch.Tensor] = []
    handle = stream_after(model, len(model.blocks) - 1, stream)
    try:
        with reader.reading():
            reader.run(ids, sink)
    finally:
        handle.remove()
    return (*kept[0], stream[0][0])
