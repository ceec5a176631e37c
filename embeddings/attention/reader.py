"""Reads attention while a model runs: weights, queries, keys and values of every head, one block at a time.

`transformers` computes attention through an interface of functions by name. This module registers one more, which calls
the model's own plain implementation (``eager``: its caps, sinks and masks stay) and hands what went in and out to a
sink. Under SDPA there are no weights to be read: ``output_attentions=True`` yields none there.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from corpus_audit.embeddings.attention.trace import ModelTrace, same, trace_model, trial_ids
from corpus_audit.embeddings.models.blocks import projection
from corpus_audit.embeddings.models.model_folder import first_line
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.schemas.errors import UsageError

_INTERFACE = "corpus_audit_reading"
_EAGER = "eager_attention_forward"
_LOCAL = threading.local()


@dataclass(frozen=True, slots=True)
class BlockAttention:
    """Attention of one block of a batch, on the model's device; H heads.

    Attributes:
        block: which one.
        weights: [B, H, L, L], after the softmax: how much query p (third axis) takes of key j (fourth).
        query, key: [B, H, L, s], whose products are the scores; rotary positions are applied.
        value: [B, H, L, v]; what a head hands to the output projection at p is the sum over j of weight times value.
    """

    block: int
    weights: torch.Tensor
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor


Sink = Callable[[BlockAttention], None]


def _read(module: nn.Module, query: Any, key: Any, value: Any, *positional: Any, **named: Any) -> Any:
    output, weights = _eager(module)(module, query, key, value, *positional, **named)
    use = getattr(_LOCAL, "use", None)
    if use is not None:
        use(module, query, key, value, weights)
    return output, weights


def _eager(module: nn.Module) -> Callable[..., Any]:
    """The plain attention of a module's model, in the file that defines the module."""
    names = inspect.unwrap(type(module).forward).__globals__
    function = names.get(_EAGER) or vars(sys.modules[type(module).__module__]).get(_EAGER)
    if function is None:
        raise LookupError(f"{type(module).__name__} has no {_EAGER}")
    return function  # type: ignore[no-any-return]


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(_INTERFACE, _read)
    AttentionMaskInterface.register(_INTERFACE, eager_mask)


def by_head(values: torch.Tensor, heads: int) -> torch.Tensor:
    """Keys or values [B, K, L, s] of K groups for each of H heads, [B, H, L, s] (grouped-query attention)."""
    return values if values.shape[1] == heads else values.repeat_interleave(heads // values.shape[1], dim=1)


class AttentionReader:
    """Reads the attention of a model; construction checks by a trial pass that it is read correctly.

    Attributes:
        model: the model.
        trace: the trial pass.
        heads: by block, how many heads it has; blocks without attention are left out.
        modules: by block, the module that computes queries, keys and values.
        unread: by block, why its attention cannot be read.
    """

    def __init__(self, model: LanguageModel) -> None:
        """Run the trial pass.

        Raises:
            UsageError: no block's attention can be read; the message says why.
        """
        self.model = model
        self.heads: dict[int, int] = {}
        self.modules: dict[int, nn.Module] = {}
        self.unread: dict[int, str] = {}
        self._block_of = {id(part): b for b, block in enumerate(model.blocks) for part in block.module.modules()}
        _register()
        with self.reading():
            self.trace = self._checked_trace()
        if not self.heads:
            reason = next(iter(self.unread.values()), "no block calls transformers' attention interface")
            raise UsageError(f"the attention of {model.card.architecture} cannot be read: {reason}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block, the model computes attention in the plain way, so that it can be read.

        Raises:
            UsageError: the model does not compute attention through the interface of `transformers`.
        """
        module, name = self.model.module, self.model.card.architecture
        setter = getattr(module, "set_attn_implementation", None)
        if setter is None:
            raise UsageError(
                f"the attention of {name} cannot be read: it is no model of transformers, whose attention interface "
                "this needs"
            )
        before = module.config._attn_implementation
        try:
            setter(_INTERFACE)
            if module.config._attn_implementation != _INTERFACE:
                raise ValueError("it computes attention in code of its own")
        except (ValueError, KeyError, ImportError) as error:
            raise UsageError(
                f"the attention of {name} cannot be read: it does not use transformers' attention interface "
                f"({first_line(error)})"
            ) from None
        try:
            yield
        finally:
            setter(before)

    def run(self, ids: torch.Tensor, sink: Sink) -> Any:
        """Run [B, L] ids without padding within `reading`; ``sink`` gets each block as it is computed.

        Returns:
            The output of the model.
        """

        def use(module: nn.Module, query: Any, key: Any, value: Any, weights: Any) -> None:
            block = self._block_of.get(id(module))
            if block is None or block in self.unread:
                return
            heads = weights.shape[1]
            sink(BlockAttention(block, weights, query, by_head(key, heads), by_head(value, heads)))

        with self._using(use):
            return self.model.run(ids)

    @contextmanager
    def _using(self, use: Callable[..., None]) -> Iterator[None]:
        _LOCAL.use = use
        try:
            yield
        finally:
            _LOCAL.use = None

    def _checked_trace(self) -> ModelTrace:
        """The trial pass; every block's weights times values must be what its output projection reads."""
        read: list[BlockAttention] = []

        def use(module: nn.Module, query: Any, key: Any, value: Any, weights: Any) -> None:
            block = self._block_of.get(id(module))
            if block is not None:
                heads = weights.shape[1]
                self.modules[block] = module
                read.append(BlockAttention(block, weights, query, by_head(key, heads), by_head(value, heads)))

        try:
            with self._using(use):
                trace = trace_model(self.model)
        except LookupError as error:
            raise UsageError(
                f"the attention of {self.model.card.architecture} cannot be read: {first_line(error)}"
            ) from None
        for attention in read:
            reason = self._wrong(trace, attention)
            if reason is None:
                self.heads[attention.block] = attention.weights.shape[1]
            else:
                self.unread[attention.block] = reason
        return trace

    def _wrong(self, trace: ModelTrace, attention: BlockAttention) -> str | None:
        """Why a block's attention is not what its output projection reads; None if it is."""
        out = self.model.blocks[attention.block].attention_out
        given = trace.blocks[attention.block].input_of(out)
        if out is None or given is None:
            return "the output projection of its attention is not known"
        values = torch.einsum("bhpj,bhjv->bphv", attention.weights, attention.value)
        if not same(values, given):
            return "its output projection does not read the sum of weights times values (a gate or a norm in between)"
        return None

    def output_weights(self, block: int) -> torch.Tensor:
        """W_O of every head of a block, float32 [H, v, d]."""
        out = self.model.blocks[block].attention_out
        assert out is not None
        weight = projection(out).float()
        return weight.reshape(self.heads[block], -1, weight.shape[1])

    def check_head(self, block: int, head: int) -> None:
        """Check that a head's attention can be read.

        Raises:
            UsageError: it cannot; the message says why.
        """
        if block in self.unread:
            raise UsageError(
                f"the attention of block {block} of {self.model.card.architecture} cannot be read: {self.unread[block]}"
            )
        if block not in self.heads:
            raise UsageError(
                f"block {block} of {self.model.card.architecture} has no attention that can be read; there are blocks "
                f"{', '.join(map(str, sorted(self.heads)))}"
            )
        if head >= self.heads[block]:
            raise UsageError(f"there is no head.{block}:{head}: heads of block {block} end at {self.heads[block] - 1}")


def trial_batch(model: LanguageModel, rows: int) -> torch.Tensor:
    """Ids of ``rows`` windows of one token, int64 [rows, 1]."""
    return trial_ids(model)[:, :1].repeat(rows, 1)
