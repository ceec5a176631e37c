"""Reductions on a CUDA device: one pass over the activations, in the order and with the results of the CPU's kernels.

The counterparts of `reduce_into` and `lowest_into` in `pipelines/kernels/activations/windows.py`: adding token after
token in float32, and the first position among equals, so that equal activations give equal bytes.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

_COLUMNS = 256
_AHEAD = 4
"""Tokens that are loaded at once: the loads overlap, while the comparisons still go token by token."""


@triton.jit  # type: ignore[untyped-decorator]
def _reduce(
    values: Any,
    counted: Any,
    into: Any,
    of_window: Any,
    of_token: Any,
    length: Any,
    units: Any,
    plane: Any,
    highest: tl.constexpr,
    lowest: tl.constexpr,
    columns: tl.constexpr,
    ahead: tl.constexpr,
) -> None:
    window = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * columns + tl.arange(0, columns)
    inside = column < units
    first = values + window * of_window + column
    best = tl.full((columns,), float("-inf"), tl.float32)
    least = tl.full((columns,), float("inf"), tl.float32)
    best_at = tl.full((columns,), -1, tl.int32)
    least_at = tl.full((columns,), -1, tl.int32)
    added = tl.zeros((columns,), tl.float32)
    fired = tl.zeros((columns,), tl.int32)
    for start in range(0, length, ahead):
        for step in tl.static_range(ahead):
            token = tl.minimum(start + step, length - 1)
            counts = (tl.load(counted + window * length + token) != 0) & (start + step < length)
            x = tl.load(first + token * of_token, mask=inside, other=0).to(tl.float32)
            if highest:
                best_at = tl.where(counts & ((best_at < 0) | (x > best)), token, best_at)
                best = tl.where(counts & (x > best), x, best)
                added = tl.where(counts, added + x, added)
                fired += (counts & (x > 0)).to(tl.int32)
            if lowest:
                least_at = tl.where(counts & ((least_at < 0) | (x < least)), token, least_at)
                least = tl.where(counts & (x < least), x, least)
    target = into + window * units + column
    if highest:
        tl.store(target, best, mask=inside)
        tl.store(target + plane, added, mask=inside)
        tl.store(target + 2 * plane, tl.maximum(best_at, 0).to(tl.float32, bitcast=True), mask=inside)
        tl.store(target + 3 * plane, fired.to(tl.float32, bitcast=True), mask=inside)
        target += 4 * plane
    if lowest:
        tl.store(target, least, mask=inside)
        tl.store(target + plane, tl.maximum(least_at, 0).to(tl.float32, bitcast=True), mask=inside)


def reduce_activations(values: torch.Tensor, counted: torch.Tensor, highest: bool, lowest: bool) -> torch.Tensor:
    """Highest and lowest activations over the tokens that count.

    Args:
        values: [B, L, U] on a device, the last dimension contiguous.
        counted: bool [B, L] on it.
        highest, lowest: which of the two are computed.

    Returns:
        [4 | 2 | 6, B, U], to be copied at once: highest, sum, position of the highest, and number above 0; lowest and
        its position. Positions and numbers are int32, stored in the bits of float32.
    """
    windows, length, units = values.shape
    into = torch.empty((4 * highest + 2 * lowest, windows, units), dtype=torch.float32, device=values.device)
    _reduce[(windows, triton.cdiv(units, _COLUMNS))](
        values,
        counted,
        into,
        values.stride(0),
        values.stride(1),
        length,
        units,
        windows * units,
        highest,
        lowest,
        _COLUMNS,
        _AHEAD,
    )
    return into
