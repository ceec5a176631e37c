"""The logits that a unit writes: its direct effect through the final norm and the unembedding, by the weights alone.

The vector that a unit adds to the residual stream is taken as if it stood there alone (`Readout.alone` of
`attention/readout.py`, which says how the final norm is treated). What later blocks make of it is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from corpus_audit.embeddings.attention.readout import direct_readout, extremes
from corpus_audit.embeddings.attention.trace import trace_model
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
        UsageError: the model has no output layer, or more than a norm in front of it, or the unit writes no vector of
            its own: heads, experts and logits.
    """
    readout, why = direct_readout(model, trace_model(model))
    if readout is None:
        raise UsageError(f"what {unit} writes does not reach logits by weights alone: {why}")
    written = torch.as_tensor(vector) if vector is not None else _written(model, unit)
    written = written.to(model.device, torch.float32)
    with torch.inference_mode():
        raised, lowered = extremes(readout.alone(written).float().cpu(), k)
    tokenizer = model.tokenizer

    def named(number: int, logit: float) -> LogitEffect:
        token = tokenizer.decode([number], skip_special_tokens=False) or tokenizer.id_to_token(number) or ""
        return LogitEffect(number, token, logit)

    return [named(*each) for each in raised], [named(*each) for each in lowered]


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
