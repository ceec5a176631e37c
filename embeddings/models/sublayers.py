"""Hooks inside a block by TransformerLens' names, and checks that a model computes what they stand for.

TransformerLens' ``hook_attn_out`` and ``hook_mlp_out`` are what is *added* to the residual stream. In most models of
`transformers` that is the output of the attention's and the MLP's last projection, but not in all: norms or factors can
stand between (Gemma 2, Granite). A trial pass decides: a block's output must be the sum of its input and of both.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from corpus_audit.embeddings.architecture.layouts import same
from corpus_audit.embeddings.architecture.tracing import first_tensor, given_tensor
from corpus_audit.embeddings.models.autoencoder_config import Hook, HookKind
from corpus_audit.embeddings.models.blocks import Reading, TransformerBlock
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.embeddings.models.readings import ReadingHooks, Use
from corpus_audit.schemas.errors import UsageError

_SAME = 1e-4
"""Of the largest number, by how much a block's output may differ from the sum of its parts."""


SUMMED = (HookKind.ATTN_OUT, HookKind.MLP_OUT, HookKind.RESID_MID, HookKind.STREAM_TO_MLP)
"""Hooks that stand for parts of the sum that a block's output is: `check_sums`."""


def stream_of(output: Any) -> torch.Tensor:
    """The residual stream among a block's outputs."""
    first = first_tensor(output)
    assert first is not None
    return first


@dataclass(frozen=True)
class Sublayers:
    """Hooks on the parts of blocks.

    Attributes:
        blocks: of the model.
        hooks: puts them on.
    """

    blocks: Sequence[TransformerBlock]
    hooks: ReadingHooks
    _before: threading.local = field(default_factory=threading.local)

    def put(self, hook: Hook, what: str, use: Use) -> list[Any]:
        """Call ``use`` with the values of a TransformerLens hook, [B, L, width]; returns handles that remove it.

        Raises:
            UsageError: the model has no such values, or they cannot be read.
        """
        if hook.kind not in SUMMED:
            reading = self.reading(hook)
            if reading is None:
                raise UsageError(f"{what} reads {hook}, which the model does not offer")
            return [self.hooks.put(reading, what, use)]
        before, written = self.reading(Hook(HookKind.RESID_PRE, hook.block)), self._written(hook)
        if before is None or written is None:
            raise UsageError(f"{what} reads {hook}, which the model does not offer")

        is_sum = hook.kind in (HookKind.RESID_MID, HookKind.STREAM_TO_MLP)

        def keep(stream: torch.Tensor) -> None:
            self._before.stream = stream.clone()

        def added(values: torch.Tensor) -> None:
            use(self._before.stream + values if is_sum else values)

        handles = [self.hooks.put(before, what, keep)] if is_sum else []
        return [*handles, self.hooks.put(written, what, added)]

    def reading(self, hook: Hook) -> Reading | None:
        """How the values of a hook are read that are no sum of others."""
        block = self.blocks[hook.block]
        match hook.kind:
            case HookKind.RESID_PRE if hook.block:
                return self.blocks[hook.block - 1].stream
            case HookKind.RESID_PRE if block.stream is not None and block.reads_stream:
                return replace(block.stream, is_input=True)
            case HookKind.RESID_POST:
                return block.stream
            case HookKind.MLP_IN:
                return block.entering
            case HookKind.MLP_POST:
                return block.neurons
            case HookKind.Z:
                return block.values
        return None

    def _written(self, hook: Hook) -> Reading | None:
        """How what a part's last projection writes is read."""
        block = self.blocks[hook.block]
        part = block.neurons if hook.kind is HookKind.MLP_OUT else block.values
        if part is None or block.stream is None:
            return None
        return replace(part, is_input=False, width=block.stream.width)


def check_sums(model: LanguageModel, hook: Hook, what: str) -> None:
    """Check by one small pass that a block's output is the sum of its input and of what attention and MLP write.

    Raises:
        UsageError: it is not, or the block has no such parts under known names.
    """
    block, name = model.blocks[hook.block], model.card.architecture
    if block.down is None or block.attention_out is None or block.stream is None:
        raise UsageError(f"{what} reads {hook}, but this version cannot find the attention or the MLP of {name}")
    outputs: dict[HookKind, torch.Tensor] = {}
    hooks = ReadingHooks()
    sublayers = Sublayers(model.blocks, hooks)
    kinds = (HookKind.RESID_PRE, HookKind.ATTN_OUT, HookKind.MLP_OUT, HookKind.RESID_POST)
    handles: list[Any] = [hooks.begin(model.module)]
    given: list[torch.Tensor] = []

    def note(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if (tensor := given_tensor(inputs, named)) is not None:
            given.append(tensor.clone())

    try:
        for part in block.module.modules() if hook.kind is HookKind.STREAM_TO_MLP else ():
            handles.append(part.register_forward_pre_hook(note, with_kwargs=True))
        for kind in kinds:
            handles += sublayers.put(Hook(kind, hook.block), what, partial(_keep, outputs, kind))
        with hooks.reading():
            model.run(model.probe())
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
    middle = outputs[HookKind.RESID_PRE] + outputs[HookKind.ATTN_OUT]
    if hook.kind is HookKind.STREAM_TO_MLP and not any(same(tensor, middle) for tensor in given):
        raise UsageError(
            f"{what} reads {hook}, which {name} does not offer: no part of its block reads the stream behind the "
            "attention (attention and MLP stand side by side)"
        )


def _keep(outputs: dict[HookKind, torch.Tensor], kind: HookKind, values: torch.Tensor) -> None:
    outputs[kind] = values.clone()


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
