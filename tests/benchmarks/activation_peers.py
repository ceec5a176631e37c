"""Other ways to the top windows of all MLP neurons, for `activation_scan`: maxima and which window, nothing else.

``plain`` is what people write first. ``TopKBuffer`` is the algorithm of baukit's ``runningstats.TopK``, re-expressed:
baukit is on no package index. It has a buffer of 5 k candidates a unit, into which the k best of each batch go, and
cuts it back to k when it is full. Neither leaves out special tokens or repeated passages, nor knows where in a window
the maximum is; of equal values either keeps any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from corpus_audit.embeddings.models.models import LanguageModel

Found = list[tuple[torch.Tensor, torch.Tensor]]
"""Values and positions of windows, [U, k] each, of every block."""


class TopKBuffer:
    """A running top k of the units of one block."""

    def __init__(self, k: int) -> None:
        self.k, self.used, self.count = k, 0, 0
        self.values, self.index = torch.empty(0), torch.empty(0, dtype=torch.long)

    def add(self, peaks: torch.Tensor) -> None:
        """Take in the maxima of a batch's windows, [B, U]."""
        if not self.count:
            self.values = peaks.new_zeros(peaks.shape[1], 5 * self.k)
            self.index = torch.zeros(peaks.shape[1], 5 * self.k, dtype=torch.long, device=peaks.device)
        more = min(len(peaks), self.k)
        if self.used + more > 5 * self.k:
            self.values[:, : self.k], self.index[:, : self.k] = self.best()
            self.used = self.k
        values, index = peaks.t().clone().topk(more, sorted=False)
        self.values[:, self.used : self.used + more] = values
        self.index[:, self.used : self.used + more] = index + self.count
        self.used += more
        self.count += len(peaks)

    def best(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The k best and where they are."""
        values, at = self.values[:, : self.used].topk(min(self.k, self.used))
        return values, self.index.gather(1, at)


def plain(model: LanguageModel, batches: Sequence[tuple[torch.Tensor, int]], k: int) -> Found:
    """Keep every window's maxima, and sort them at the end.

    Args:
        model: the model.
        batches: ids and how many of their rows count.
        k: windows a unit.
    """
    kept: list[list[torch.Tensor]] = [[] for _ in model.blocks]
    _run(model, batches, lambda block, peaks: kept[block].append(peaks))
    result = [torch.cat(parts).topk(k, dim=0) for parts in kept]
    return [(values.t(), index.t()) for values, index in result]


def buffered(model: LanguageModel, batches: Sequence[tuple[torch.Tensor, int]], k: int) -> Found:
    """Keep a `TopKBuffer` a block; arguments as of `plain`."""
    buffers = [TopKBuffer(k) for _ in model.blocks]
    _run(model, batches, lambda block, peaks: buffers[block].add(peaks))
    return [buffer.best() for buffer in buffers]


def _run(
    model: LanguageModel, batches: Sequence[tuple[torch.Tensor, int]], use: Callable[[int, torch.Tensor], None]
) -> None:
    rows = 0
    handles = []
    for number, block in enumerate(model.blocks):
        assert block.down is not None

        def hook(_module: Any, inputs: Any, number: int = number) -> None:
            use(number, inputs[0][:rows].amax(dim=1))

        handles.append(block.down.register_forward_pre_hook(hook))
    try:
        for ids, rows in batches:  # noqa: B007 - the hooks read it
            model.run(ids)
    finally:
        for handle in handles:
            handle.remove()
