"""Hooks inside a block by TransformerLens' names, and checks that a model computes what they stand for.

TransformerLens' ``hook_attn_out`` and ``hook_mlp_out`` are what is *added* to the residual stream. In most models of
`transformers` that is the output of the attention's and the MLP's last projection, but not in all: norms or factors can
stand between (Gemma 2, Granite). A trial pass decides: a block's output must be the sum of its input and of both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from corpus_audit.embeddings.models.autoencoder_config import Hook, HookKind
from corpus_audit.embeddings.models.blocks import TransformerBlock
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.schemas.errors import UsageError

Use = Callable[[torch.Tensor], None]

_SAME = 1e-4
"""Of the largest number, by how much a block's output may differ from the sum of its parts."""


def stream_of(output: Any) -> torch.Tensor:
    """The residual stream among a block's outputs."""
    first = output[0] if isinstance(output, tuple) else output
    assert isinstance(first, torch.Tensor)
    return first


@dataclass(frozen=True)
class Sublayers:
    """Hooks on the parts of blocks.

    Attributes:
        blocks: of the model.
        is_on: whether the pass that is running is to be read.
    """

    blocks: Sequence[TransformerBlock]
    is_on: Callable[[], bool]
    _before: threading.local = field(default_factory=threading.local)

    def hooks(self, hook: Hook, use: Use) -> list[Any]:
        """Call ``use`` with the values of a TransformerLens hook, [B, L, width]; returns handles that remove it."""
        block = self.blocks[hook.block]
        match hook.kind:
            case HookKind.RESID_PRE if hook.block:
                return [self._after(self.blocks[hook.block - 1].module, use)]
            case HookKind.RESID_PRE:
                return [self._on_input(block.module, use)]
            case HookKind.RESID_POST:
                return [self._after(block.module, use)]
            case HookKind.MLP_POST:
                return [self._on_input(_require(block.down), use)]
            case HookKind.Z:
                return [self._on_input(_require(block.attention_out), use)]
            case _:
                return self._added(block, hook.kind, use)

    def _added(self, block: TransformerBlock, kind: HookKind, use: Use) -> list[Any]:
        """What is added to the stream; some models hand their MLPs [B * L, d], so its shape is that of the block's."""

        def keep(stream: torch.Tensor) -> None:
            self._before.stream = stream

        def added(values: torch.Tensor) -> None:
            stream = self._before.stream
            values = values.reshape(stream.shape)
            use(stream + values if kind is HookKind.RESID_MID else values)

        part = block.down if kind is HookKind.MLP_OUT else block.attention_out
        return [self._on_input(block.module, keep), self._after(_require(part), added)]

    def _after(self, module: nn.Module, use: Use) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if self.is_on():
                use(stream_of(output))

        return module.register_forward_hook(hook)

    def _on_input(self, module: nn.Module, use: Use) -> Any:
        def hook(_module: nn.Module, inputs: Any, named: dict[str, Any]) -> None:
            if self.is_on():
                use(inputs[0] if inputs else named["hidden_states"])

        return module.register_forward_pre_hook(hook, with_kwargs=True)


def _require(module: nn.Module | None) -> nn.Module:
    assert module is not None
    return module


def check_sums(model: LanguageModel, hook: Hook, what: str) -> None:
    """Check by one small pass that a block's output is the sum of its input and of what attention and MLP write.

    Raises:
        UsageError: it is not, or the block has no such parts under known names.
    """
    block, name = model.blocks[hook.block], model.card.architecture
    if block.down is None or block.attention_out is None:
        raise UsageError(f"{what} reads {hook}, but this version cannot find the attention or the MLP of {name}")
    outputs: dict[HookKind, torch.Tensor] = {}
    handles: list[Any] = []
    sublayers = Sublayers(model.blocks, lambda: True)
    kinds = (HookKind.RESID_PRE, HookKind.ATTN_OUT, HookKind.MLP_OUT, HookKind.RESID_POST)
    try:
        for kind in kinds:
            handles += sublayers.hooks(Hook(kind, hook.block), partial(outputs.__setitem__, kind))
        model.run(torch.arange(4, device=model.device)[None] % model.tokenizer.get_vocab_size())
    finally:
        for handle in handles:
            handle.remove()
    after = outputs[HookKind.RESID_POST]
    parts = outputs[HookKind.RESID_PRE] + outputs[HookKind.ATTN_OUT] + outputs[HookKind.MLP_OUT]
    if not float((parts - after).abs().max()) <= _SAME * float(after.abs().max()):
        raise UsageError(
            f"{what} reads {hook}, which {name} does not offer: the output of its block is not the sum of the block's "
            "input and of what the projections of attention and MLP write (a norm or a factor stands between)"
        )


def check_centering(model: LanguageModel, what: str) -> None:
    """Check that centring the weights that write to the residual stream leaves a model's outputs as they are.

    It then only subtracts the mean from the stream, because LayerNorm subtracts it anyway.

    Raises:
        UsageError: the model has other norms than LayerNorm, or one after the embedding.
    """
    inside = {part for block in model.blocks for part in block.module.modules()}
    norms = [part for part in model.module.modules() if "norm" in type(part).__name__.lower()]
    outside = [part for part in norms if part not in inside]
    if not norms or any(not isinstance(part, nn.LayerNorm) for part in norms) or len(outside) > 1:
        raise UsageError(
            f"{what}: model_from_pretrained_kwargs.center_writing_weights: true is not supported for "
            f"{model.card.architecture}: it needs LayerNorm in front of every part and at the end, and nowhere else"
        )
