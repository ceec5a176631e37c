"""One trial pass of a model with all of its inner tensors: what its parts read and write, found by comparing tensors.

Model families call their norms differently and place them differently. Instead of lists of names, a pass over a few
tokens (recorded by `architecture/tracing.py`) shows which module turns the output of the last block into the input of
the output layer, which norm stands in front of a block's attention, and whether what the attention writes is added to
the residual stream as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from corpus_audit.embeddings.architecture import layouts
from corpus_audit.embeddings.architecture.tracing import record_calls
from corpus_audit.embeddings.models.models import LanguageModel

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


def trial_ids(model: LanguageModel) -> torch.Tensor:
    """Different token ids without special ones, int64 [1, TOKENS]."""
    special = set(model.card.special)
    ids = [i for i in range(model.tokenizer.get_vocab_size()) if i not in special][:TOKENS]
    ids += ids[:1] * (TOKENS - len(ids))
    return torch.tensor([ids], device=model.device)


def trace_model(model: LanguageModel) -> ModelTrace:
    """Run a few tokens through a model and return what its modules read and wrote.

    Of a module that blocks share, it is the last call that counts.
    """
    recorded, _ = record_calls(model.module, trial_ids(model))
    blocks = tuple(BlockTrace() for _ in model.blocks)
    outside: list[ModuleCall] = []
    inside = {id(part): b for b, block in enumerate(model.blocks) for part in block.module.modules()}
    tops = {id(block.module) for block in model.blocks}
    for call in recorded:
        output = call.output
        if id(call.module) in tops:
            for block, trace in zip(model.blocks, blocks, strict=True):
                if block.module is call.module:
                    trace.input, trace.output = call.given, output
        elif call.given is not None and call.given.is_floating_point() and output is not None:
            calls = blocks[inside[id(call.module)]].calls if id(call.module) in inside else outside
            calls.append(ModuleCall(call.module, call.given, output))
    return ModelTrace(blocks, tuple(outside))


def same(first: torch.Tensor | None, second: torch.Tensor | None, tolerance: float = SAME) -> bool:
    """Whether two tensors hold the same numbers, up to rounding, however they are arranged."""
    if first is None or second is None or first.numel() != second.numel():
        return False
    return layouts.same(first.reshape(-1), second.reshape(-1), tolerance)


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
