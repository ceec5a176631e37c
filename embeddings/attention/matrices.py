"""Weights of every head as matrices, found by running unit vectors through the model's own projections.

Projections are fused and laid out differently in every model family. So the attention of each block is given the unit
vectors of the residual stream as windows of one token, where rotary positions turn nothing (position 0); the queries,
keys and values that come out are the rows of W_Q, W_K and W_V. Two random vectors check that the maps are linear; where
a norm acts on queries or keys (Qwen 3, OLMo 2), those are left out.

The gain of the norm in front of the attention is multiplied in, and its mean subtracted, so that matrices of different
blocks compose in the coordinates of the stream (Elhage et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from corpus_audit.embeddings.attention.norms import Norm, norm_of
from corpus_audit.embeddings.attention.reader import AttentionReader, BlockAttention, trial_batch
from corpus_audit.embeddings.attention.trace import BlockTrace, same


@dataclass(frozen=True)
class HeadMatrices:
    """Weights of a block's H heads for row vectors: x W_Q, x W_K, x W_V of the stream before the norm; z W_O.

    Attributes:
        query, key: float32 [H, d, s]; None if queries or keys are not linear in what the attention reads.
        value: float32 [H, d, v]; None likewise.
        output: float32 [H, v, d].
    """

    query: torch.Tensor | None
    key: torch.Tensor | None
    value: torch.Tensor | None
    output: torch.Tensor


def head_matrices(reader: AttentionReader) -> dict[int, HeadMatrices]:
    """The weights of every head, by block; one forward pass of d + 3 windows of one token."""
    first = next(iter(reader.heads))
    given = reader.trace.blocks[first].input_of(reader.modules[first])
    if given is None:
        return {b: HeadMatrices(None, None, None, reader.output_weights(b)) for b in reader.heads}
    width = int(given.shape[-1])
    generator = torch.Generator().manual_seed(0)
    probes = torch.randn(2, width, generator=generator)
    rows = torch.cat([torch.eye(width), torch.zeros(1, width), probes])[:, None, :].to(reader.model.device)
    read: dict[int, tuple[torch.Tensor, ...]] = {}

    def sink(attention: BlockAttention) -> None:
        parts = (attention.query, attention.key, attention.value)
        read[attention.block] = tuple(part[:, :, 0].float().clone() for part in parts)

    handles = [reader.modules[b].register_forward_pre_hook(_replaced_by(rows), with_kwargs=True) for b in reader.heads]
    try:
        with reader.reading():
            reader.run(trial_batch(reader.model, len(rows)), sink)
    finally:
        for handle in handles:
            handle.remove()
    return {b: _matrices(reader, b, read[b], rows[:, 0]) for b in reader.heads}


def _replaced_by(rows: torch.Tensor) -> Any:
    def hook(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        return ((rows, *inputs[1:]), named) if inputs else ((), {**named, "hidden_states": rows})

    return hook


def _matrices(reader: AttentionReader, block: int, parts: tuple[torch.Tensor, ...], rows: torch.Tensor) -> HeadMatrices:
    norm = _norm_in_front(reader.trace.blocks[block], reader.modules[block], rows.shape[1])
    query, key, value = (_linear(part, rows, norm) for part in parts)
    return HeadMatrices(query, key, value, reader.output_weights(block))


def _linear(outputs: torch.Tensor, rows: torch.Tensor, norm: Norm | None) -> torch.Tensor | None:
    """The matrix [H, d, s] of a map from what it makes of unit vectors, zero and two probes, [d + 3, H, s]."""
    width = rows.shape[1]
    bias = outputs[width]
    weight = (outputs[:width] - bias).transpose(0, 1)
    predicted = torch.einsum("nd,hds->nhs", rows[width + 1 :], weight) + bias
    if not same(predicted, outputs[width + 1 :]):
        return None
    if norm is None:
        return weight.contiguous()
    weight = norm.gain[None, :, None] * weight
    return weight - weight.mean(1, keepdim=True) if norm.centres else weight


def _norm_in_front(trace: BlockTrace, attention: nn.Module, width: int) -> Norm | None:
    """The norm between the block's input and its attention; None if the attention reads the input itself."""
    given = trace.input_of(attention)
    for call in trace.calls:
        if same(call.input, trace.input, 0.0) and same(call.output, given, 0.0) and call.module is not attention:
            return norm_of(call.module, width)
    return None
