"""The logits that a unit writes: its direct effect through the final norm and the unembedding, by the weights alone.

The vector that a unit adds to the residual stream is taken as if it stood there alone: logits = W_U (norm(w) - norm(0))
with the model's own final norm, so that what that norm multiplies by is applied, and the scale is that of a stream of
this direction. What later blocks make of the vector is not in it, nor is a scaling or cap of the model's logits, which
changes their size and not their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from corpus_audit.embeddings.models.blocks import projection
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.embeddings.models.sublayers import stream_of
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Unit

_SAME = 1e-4
"""Rounding of a trial pass, over the largest number in it."""


@dataclass(frozen=True, slots=True)
class LogitEffect:
    """A token, and the logit that a unit writes for it."""

    id: int
    token: str
    logit: float


def written_logits(
    model: LanguageModel, unit: Unit, k: int, vector: np.ndarray | None = None
) -> tuple[list[LogitEffect], list[LogitEffect]]:
    """The k tokens whose logits a unit raises most, and the k that it lowers most.

    Args:
        model: loaded with its output layer.
        unit: a neuron, a residual dimension, or what has a ``vector``.
        k: how many.
        vector: [d], what a latent or a direction writes: its decoder's row, or itself.

    Raises:
        UsageError: the model has no output layer or no final norm in front of it, or the unit writes no vector of its
            own: heads, experts and logits.
    """
    if model.head is None:
        raise UsageError(f"{model.card.name} has no output layer")
    written = torch.as_tensor(vector) if vector is not None else _written(model, unit)
    written = written.to(model.device, torch.float32)
    norm = _final_norm(model)
    with torch.inference_mode():
        zero = torch.zeros_like(written)
        direction = norm(torch.stack([written, zero])[None])[0]
        logits = model.head(direction[None])[0]
        effect = (logits[0] - logits[1]).float().cpu().numpy()
    order = np.argsort(-effect, kind="stable")
    tokenizer = model.tokenizer

    def named(number: int) -> LogitEffect:
        token = tokenizer.decode([number], skip_special_tokens=False) or tokenizer.id_to_token(number) or ""
        return LogitEffect(number, token, float(effect[number]))

    return [named(int(i)) for i in order[:k]], [named(int(i)) for i in order[::-1][:k]]


def _written(model: LanguageModel, unit: Unit) -> torch.Tensor:
    """What a unit adds to the residual stream, float32 [d]; of neurons it is checked that this is what they add."""
    kind, block = unit.point.kind, unit.point.block
    if kind is Kind.RESID:
        assert model.head is not None
        width = projection(model.head).shape[0]
        return torch.zeros(width).index_fill_(0, torch.tensor(unit.index), 1.0)
    if kind is not Kind.MLP:
        raise UsageError(f"{unit} writes no vector of its own: neurons, residual dimensions, latents, directions do")
    assert block is not None
    down = model.blocks[block].down
    assert down is not None
    row = projection(down)[unit.index].float()
    before, after = (_block_output(model, block, down, unit.index, step) for step in (0.0, 1.0))
    if not float((after - before - row).abs().max()) <= _SAME * float(before.abs().max() + row.abs().max()):
        raise UsageError(
            f"{unit} does not write its weights to the residual stream of {model.card.architecture}: a norm or a "
            "factor stands between"
        )
    return row


def _block_output(model: LanguageModel, block: int, down: nn.Module, neuron: int, step: float) -> torch.Tensor:
    """The stream [d] after a block at the last of four tokens, with a neuron raised by a step."""
    seen: list[torch.Tensor] = []

    def raise_neuron(_: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        raised = given[0].clone()
        raised[..., -1, neuron] += step
        return (raised, *given[1:])

    handles = [
        down.register_forward_pre_hook(raise_neuron),
        model.blocks[block].module.register_forward_hook(lambda _m, _i, output: seen.append(stream_of(output))),
    ]
    try:
        model.run(torch.arange(4, device=model.device)[None] % model.tokenizer.get_vocab_size())
    finally:
        for handle in handles:
            handle.remove()
    return seen[-1].reshape(-1, seen[-1].shape[-1])[-1].float()


def _final_norm(model: LanguageModel) -> nn.Module:
    """The norm that reads the last block's output and whose output is what the output layer reads.

    Raises:
        UsageError: there is none.
    """
    calls: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []
    ends: list[torch.Tensor] = []
    assert model.head is not None

    def note(part: nn.Module, given: Any, output: Any) -> None:
        if given and isinstance(given[0], torch.Tensor) and isinstance(output, torch.Tensor):
            calls.append((part, given[0], output))

    parts = [part for part in model.module.modules() if not list(part.children()) and part is not model.head]
    handles = [part.register_forward_hook(note) for part in parts]
    handles.append(model.blocks[-1].module.register_forward_hook(lambda _m, _i, output: ends.append(stream_of(output))))
    handles.append(model.head.register_forward_pre_hook(lambda _m, given: ends.append(given[0])))
    try:
        model.run(torch.arange(4, device=model.device)[None] % model.tokenizer.get_vocab_size())
    finally:
        for handle in handles:
            handle.remove()
    stream, read = ends[0], ends[-1]
    for part, given, output in reversed(calls):
        if _equal(given, stream) and _equal(output, read) and "norm" in type(part).__name__.lower():
            return part
    raise UsageError(
        f"{model.card.architecture} has more than a norm between its last block and its output layer: what a unit "
        "writes does not reach the logits by weights alone"
    )


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one, other))
