"""Reads attention weights of a vision transformer while it runs once.

The weights are the result of the softmax, where a model computes it by itself; where it calls torch's fused attention
they are computed from the queries and keys that it hands in. Either way the values that the weights are applied to
are read too, and what comes out must be what the model goes on with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.images.trace import CallCounter, Key
from corpus_audit.embeddings.images.vit.blocks import Branch
from corpus_audit.schemas.errors import UsageError

TOLERANCE = 1e-4
"""Of the largest number, by how much weights times values may differ from what the model computes."""


@dataclass(frozen=True)
class BlockWeights:
    """Attention of a block on one image; H heads, T tokens.

    Attributes:
        weights: float32 [H, T, T]: how much a query (second axis) takes of a key (third).
        values: float32 [H, T, size].
        read: float32 [T, H * size], what the attention's last linear map reads.
        added: float32 [T, width], the result of that map, bias included, before factors.
        error: by how much weights times values differ from ``read``, as a share of its largest number.
        row_error: by how much a row's sum differs from 1 at most.
    """

    weights: torch.Tensor
    values: torch.Tensor
    read: torch.Tensor
    added: torch.Tensor
    error: float
    row_error: float


def read_weights(model: ImageModel, block: int, inputs: torch.Tensor) -> BlockWeights:
    """The attention of a block on an input [3, h, w].

    Raises:
        UsageError: the model has no such block, its attention cannot be read, or what is read does not explain what the
            model computes (as where heads are mixed behind the softmax).
    """
    branch = attention_of(model, block)
    assert branch.attends is not None and branch.read is not None
    operations = model.trace.operations
    attends, read = operations[branch.attends], operations[branch.read]
    assert attends.key is not None and read.key is not None
    reader = _Reader(attends.key, read.key, model.parameter(branch.weight))
    with torch.no_grad(), reader:
        model.run(inputs[None])
    if reader.weights is None or reader.values is None or reader.read is None or reader.added is None:
        raise UsageError(f"head.{block} of {model.name}: the attention weights are not applied in a way that is seen")
    weights, values = reader.weights[0].float(), reader.values[0].float()
    weights, values = (each.repeat_interleave(branch.heads // each.shape[0], 0) for each in (weights, values))
    expected = (weights @ values).transpose(0, 1).flatten(1)
    result = reader.read[0].float()
    if expected.shape != result.shape:
        raise UsageError(f"head.{block} of {model.name}: the attention weights are not applied to its values by head")
    error = float((expected - result).abs().max() / result.abs().max().clamp_min(1e-30))
    if not error <= TOLERANCE:
        raise UsageError(
            f"head.{block} of {model.name}: weights times values differ from what the attention computes, by "
            f"{error:.1g} of its largest number: its weights are changed behind the softmax"
        )
    row_error = float((weights.sum(2) - 1).abs().max())
    return BlockWeights(weights, values, result, reader.added[0].float(), error, row_error)


def attention_of(model: ImageModel, block: int) -> Branch:
    """The attention of a block, whose heads are units.

    Raises:
        UsageError: there is none; the message has the reason.
    """
    tokens = model.units.tokens
    if tokens.stream is None:
        reason = tokens.refused[0][1] if tokens.refused else "it is no vision transformer"
        raise UsageError(f"{model.name} has no attention heads that are units: {reason}")
    if not 0 <= block < len(tokens.stream.blocks):
        raise UsageError(f"{model.name} has blocks 0 to {len(tokens.stream.blocks) - 1}, and no block {block}")
    branch = tokens.stream.blocks[block].attention
    if branch is None or branch.problem:
        reason = "there is no attention" if branch is None else branch.problem
        raise UsageError(f"head.{block} of {model.name}: {reason}")
    return branch


class _Reader(TorchFunctionMode):  # type: ignore[misc]
    """Notes the weights, the values that they are applied to, and what goes in and comes out of the last linear map."""

    def __init__(self, attends: Key, read: Key, weight: torch.Tensor) -> None:
        super().__init__()
        self._attends, self._read, self._weight, self._calls = attends, read, weight, CallCounter()
        self.weights: torch.Tensor | None = None
        self.values: torch.Tensor | None = None
        self.read: torch.Tensor | None = None
        self.added: torch.Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        key = self._calls.next(func)
        result = func(*args, **named)
        if key == self._attends:
            if key.function.endswith("softmax"):
                self.weights = result
            else:
                self.weights, self.values = _fused(*args, **named)
        elif self.weights is not None and self.values is None and "matmul" in key.function:
            first, second = args[:2]
            if first.shape == self.weights.shape and torch.equal(first, self.weights):
                self.values = second
        if key == self._read:
            self.read = result
        if self.read is not None and self.added is None and key.function.endswith(".linear"):
            given = args[1] if len(args) > 1 else named.get("weight")
            if given is self._weight:
                self.added = result
        return result


def _fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and values of ``torch.nn.functional.scaled_dot_product_attention``, as its documentation defines them."""
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scores = query.float() @ key.float().transpose(-2, -1) * factor
    if is_causal:
        above = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(above, -torch.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype is torch.bool else scores + attn_mask
    return scores.softmax(-1), value
