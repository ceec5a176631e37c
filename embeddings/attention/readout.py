"""From the residual stream to logits: the logit lens, and the direct effect of what a unit or a head writes.

The logit lens (nostalgebraist 2020) reads the stream after an earlier block as the model reads it after the last one,
by its last norm and its output layer. The direct effect of a vector that is added to the stream is what it adds to the
logits if nothing between reads it. The last norm is x -> s * gain * x + bias (x less its mean, in a LayerNorm), with a
scale s that depends on the whole stream. Which s is meant has to be said:

* `Readout.direct` with a stream: s as it is in that stream (Elhage et al. 2021): what a head adds at a token.
* `Readout.direct` without one: s = 1, for comparisons of vectors in which it cancels.
* `Readout.alone`: s as if the vector were all of the stream: what a unit writes, by the weights alone. It depends on
  the direction of the vector and hardly on its length.

The bias of the norm is no part of any of them. Factors and caps that a model applies to its logits afterwards are left
out; they change the size of direct effects, and not their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from corpus_audit.embeddings.attention.norms import Norm, norm_of
from corpus_audit.embeddings.attention.trace import ModelTrace, same
from corpus_audit.embeddings.models.blocks import projection
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.embeddings.models.sublayers import stream_of
from corpus_audit.schemas.errors import UsageError


@dataclass(frozen=True)
class Readout:
    """What stands between the output of the last block and the logits.

    Attributes:
        between: the module in between (a norm, in BERT a layer with a norm); None if there is none.
        norm: what it does as a linear map; None if it is more than a norm.
        head: the output layer.
        whole: whether ``between`` holds the output layer itself (RoBERTa), so that its output is the logits.
    """

    between: nn.Module | None
    norm: Norm | None
    head: nn.Module
    whole: bool = False

    @property
    def is_linear(self) -> bool:
        """Whether direct effects are defined: at most a norm stands between the stream and the output layer."""
        return self.between is None or self.norm is not None

    @property
    def unembedding(self) -> torch.Tensor:
        """[d, ids]."""
        return projection(self.head).float()

    def lens(self, stream: torch.Tensor) -> torch.Tensor:
        """Logits [B, L, ids] of the stream [B, L, d] after any block, as after the last one."""
        read: torch.Tensor = stream if self.between is None else self.between(stream)
        logits: torch.Tensor = read if self.whole else self.head(read)
        return logits

    def direct(self, written: torch.Tensor, stream: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [..., ids] that vectors [..., d] in the stream add directly.

        Args:
            written: what is added to the stream.
            stream: the stream after the last block, [..., d], whose norm's scale is applied; None: a scale of 1.
        """
        if self.between is not None:
            assert self.norm is not None
            written = self.norm.unscaled(written)
            if stream is not None:
                written = written * self.norm.scale(stream, self.between(stream[None])[0])
        return written @ self.unembedding

    def alone(self, written: torch.Tensor) -> torch.Tensor:
        """Logits [ids] that a vector [d] adds directly if it is all of the stream, less those of an empty stream."""
        assert self.is_linear
        stream = torch.stack([written, torch.zeros_like(written)])[None]
        read = stream if self.between is None else self.between(stream)
        logits: torch.Tensor = self.head(read)[0]
        return logits[0] - logits[1]


def extremes(logits: torch.Tensor, k: int) -> tuple[tuple[tuple[int, float], ...], tuple[tuple[int, float], ...]]:
    """The k ids [ids] of the highest logits, highest first, and of the lowest, lowest first, each with its logit."""
    order = torch.argsort(logits, descending=True, stable=True)
    high, low = (ids[:k].tolist() for ids in (order, order.flip(0)))
    values = logits.tolist()
    return tuple((i, values[i]) for i in high), tuple((i, values[i]) for i in low)


def find_readout(model: LanguageModel, trace: ModelTrace) -> Readout:
    """The readout of a model that was loaded with its output layer.

    Raises:
        UsageError: it was loaded without one, or what stands before it is not a single module.
    """
    if model.head is None:
        raise UsageError(f"{model.card.name} has no output layer: no logits")
    last = trace.blocks[-1].output
    head = next((call for call in trace.outside if call.module is model.head), None)
    given, logits = (None, None) if head is None else (head.input, head.output)
    if last is not None and same(given, last, 0.0):
        return Readout(None, None, model.head)
    for call in trace.outside:
        if same(call.input, last, 0.0) and same(call.output, given, 0.0) and call.module is not model.head:
            return Readout(call.module, norm_of(call.module, int(call.input.shape[-1])), model.head)
    for call in trace.outside:
        if same(call.input, last, 0.0) and same(call.output, logits, 0.0) and call.module is not model.head:
            return Readout(call.module, None, model.head, whole=True)
    raise UsageError(
        f"{model.card.architecture}: what stands between its last block and its output layer is not one module that "
        "reads the stream"
    )


def direct_readout(model: LanguageModel, trace: ModelTrace) -> tuple[Readout | None, str]:
    """The readout for direct effects, and why there is none (then the first is None)."""
    try:
        readout = find_readout(model, trace)
    except UsageError as error:
        return None, str(error)
    if not readout.is_linear:
        return None, f"{model.card.architecture} has more than a norm between its last block and its output layer"
    return readout, ""


def stream_after(model: LanguageModel, block: int, keep: list[torch.Tensor]) -> Any:
    """Put the residual stream after a block into ``keep`` whenever the model runs; returns a handle that ends it."""

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        keep[:] = [stream_of(output)]

    return model.blocks[block].module.register_forward_hook(hook)
