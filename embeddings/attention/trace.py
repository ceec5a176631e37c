"""One trial pass of a model with all of its inner tensors: what its parts read and write, found by comparing tensors.

Model families call their norms differently and place them differently. Instead of lists of names, a pass over a few
tokens shows which module turns the output of the last block into the input of the output layer, which norm stands in
front of a block's attention, and whether what the attention writes is added to the residual stream as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.embeddings.models.sublayers import stream_of

TOKENS = 8

SAME = 1e-4
"""Of the largest number, by how much two tensors that are the same quantity may differ."""


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """A module that ran: its first input and its output, [1, TOKENS, width] each."""

    module: nn.Module
    input: torch.Tensor
    output: torch.Tensor


@dataclass
class BlockTrace:
    """What a block and its parts read and wrote.

    Attributes:
        input, output: the residual stream before and after the block.
        calls: the parts of the block that take and give vectors.
    """

    input: torch.Tensor | None = None
    output: torch.Tensor | None = None
    calls: list[ModuleCall] = field(default_factory=list)

    def input_of(self, module: nn.Module | None) -> torch.Tensor | None:
        """What a part of the block read; None if it did not run."""
        return next((call.input for call in self.calls if call.module is module), None)

    def output_of(self, module: nn.Module | None) -> torch.Tensor | None:
        """What a part of the block wrote; None if it did not run."""
        return next((call.output for call in self.calls if call.module is module), None)


@dataclass(frozen=True)
class ModelTrace:
    """A trial pass: its blocks, and the modules outside of them."""

    blocks: tuple[BlockTrace, ...]
    outside: tuple[ModuleCall, ...]


def first_tensor(inputs: tuple[Any, ...], named: dict[str, Any]) -> torch.Tensor | None:
    """The vectors that a module is called with, however they are passed."""
    value = inputs[0] if inputs else named.get("hidden_states")
    return value if isinstance(value, torch.Tensor) and value.is_floating_point() else None


def trial_ids(model: LanguageModel) -> torch.Tensor:
    """Different token ids without special ones, int64 [1, TOKENS]."""
    special = set(model.card.special)
    ids = [i for i in range(model.tokenizer.get_vocab_size()) if i not in special][:TOKENS]
    ids += ids[:1] * (TOKENS - len(ids))
    return torch.tensor([ids], device=model.device)


@contextmanager
def _removing(handles: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def trace_model(model: LanguageModel) -> ModelTrace:
    """Run a few tokens through a model and return what its modules read and wrote."""
    blocks = tuple(BlockTrace() for _ in model.blocks)
    outside: list[ModuleCall] = []
    inside = {id(part): b for b, block in enumerate(model.blocks) for part in block.module.modules()}

    def use(
        calls: list[ModuleCall], module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> None:
        given = first_tensor(inputs, named)
        written = output[0] if isinstance(output, tuple) and output else output
        if given is not None and isinstance(written, torch.Tensor):
            calls.append(ModuleCall(module, given.detach().clone(), written.detach().clone()))

    def use_block(
        trace: BlockTrace, _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> None:
        given = first_tensor(inputs, named)
        trace.input = None if given is None else given.detach().clone()
        trace.output = stream_of(output).detach().clone()

    tops = {id(block.module) for block in model.blocks}
    handles: list[Any] = []
    with _removing(handles):
        for part in model.module.modules():
            if id(part) in tops:
                continue
            calls = blocks[inside[id(part)]].calls if id(part) in inside else outside
            handles.append(part.register_forward_hook(partial(use, calls), with_kwargs=True))
        for block, trace in zip(model.blocks, blocks, strict=True):
            handles.append(block.module.register_forward_hook(partial(use_block, trace), with_kwargs=True))
        model.run(trial_ids(model))
    return ModelTrace(blocks, tuple(outside))


def same(first: torch.Tensor | None, second: torch.Tensor | None, tolerance: float = SAME) -> bool:
    """Whether two tensors hold the same numbers, up to rounding."""
    if first is None or second is None or first.numel() != second.numel():
        return False
    first, second = first.reshape(-1).float(), second.reshape(-1).float()
    return float((first - second).abs().max()) <= tolerance * float(second.abs().max())


def writes_to_stream(model: LanguageModel, trace: ModelTrace, block: int) -> bool:
    """Whether what a block's attention writes is added to the residual stream as it is.

    Then the block's output less its input and the attention's output is what some part of it wrote (the MLP), or
    nothing. It is not where a norm or a factor stands between (BERT, Gemma 2, Granite).
    """
    seen = trace.blocks[block]
    attention = seen.output_of(model.blocks[block].attention_out)
    if seen.input is None or seen.output is None or attention is None or attention.numel() != seen.input.numel():
        return False
    rest = seen.output - seen.input - attention.reshape(seen.input.shape)
    if float(rest.abs().max()) <= SAME * float(seen.output.abs().max()):
        return True
    return any(same(call.output, rest, 10 * SAME) for call in seen.calls)  # a difference of larger numbers
