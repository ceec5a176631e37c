"""Replaces what heads write while a model runs, and measures their mean outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from corpus_audit.embeddings.models.blocks import input_width
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.schemas.errors import UsageError

Head = tuple[int, int]


@contextmanager
def summed_outputs(model: LanguageModel, means: dict[int, torch.Tensor]) -> Iterator[Any]:
    """Fill ``means`` with the mean over counted tokens of what each block's output projection reads.

    Yields a function that is called with the counted tokens of a batch, bool [B, L], before the batch runs.
    """
    counted: list[torch.Tensor] = []
    tokens = 0

    def begin(mask: torch.Tensor) -> None:
        nonlocal tokens
        counted[:] = [mask]
        tokens += int(mask.sum())

    def hook(block: int, values: torch.Tensor) -> None:
        mask = counted[0].reshape(-1, 1)
        total = (values.reshape(mask.shape[0], -1) * mask).sum(0).double()
        means[block] = means[block] + total if block in means else total

    handles = []
    for b, block in enumerate(model.blocks):
        if block.attention_out is not None:
            handles.append(block.attention_out.register_forward_pre_hook(lambda _m, given, b=b: hook(b, given[0])))
    try:
        yield begin
    finally:
        for handle in handles:
            handle.remove()
        for b, total in means.items():
            means[b] = (total / max(tokens, 1)).float()


@contextmanager
def replaced_outputs(model: LanguageModel, heads: Sequence[Head], means: Mapping[int, torch.Tensor]) -> Iterator[None]:
    """Within the block, the outputs of heads are their means, or zero where there is none."""
    handles = []
    for b in sorted({block for block, _ in heads}):
        out = model.blocks[b].attention_out
        if out is None:
            raise UsageError(f"the output projection of block {b} of {model.card.architecture} is not known")
        size = input_width(out) // model.heads
        columns = [slice(h * size, (h + 1) * size) for block, h in heads if block == b]

        def hook(_module: nn.Module, given: Any, b: int = b, columns: list[slice] = columns) -> Any:
            values = given[0].clone()
            for part in columns:
                values[..., part] = means[b][part].to(values.dtype) if b in means else 0
            return (values, *given[1:])

        handles.append(out.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
