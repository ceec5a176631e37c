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
"""Tokens that are loaded before the first of them is looked at."""


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
    where = tl.full((columns,), -1, tl.int32)
    there = tl.full((columns,), -1, tl.int32)
    added = tl.zeros((columns,), tl.float32)
    fired = tl.zeros((columns,), tl.int32)
    for start in range(0, length, ahead):
        for step in tl.static_range(ahead):
            token = tl.minimum(start + step, length - 1)
            counts = (tl.load(counted + window * length + token) != 0) & (start + step < length)
            x = tl.load(first + token * of_token, mask=inside, other=0).to(tl.float32)
            if highest:
                where = tl.where(counts & ((where < 0) | (x > best)), token, where)
                best = tl.where(counts & (x > best), x, best)
                added = tl.where(counts, added + x, added)
                fired += (counts & (x > 0)).to(tl.int32)
            if lowest:
                there = tl.where(counts & ((there < 0) | (x < least)), token, there)
                least = tl.where(counts & (x < least), x, least)
    place = into + window * units + column
    if highest:
        tl.store(place, best, mask=inside)
        tl.store(place + plane, added, mask=inside)
        tl.store(place + 2 * plane, tl.maximum(where, 0).to(tl.float32, bitcast=True), mask=inside)
        tl.store(place + 3 * plane, fired.to(tl.float32, bitcast=True), mask=inside)
        place += 4 * plane
    if lowest:
        tl.store(place, least, mask=inside)
        tl.store(place + plane, tl.maximum(there, 0).to(tl.float32, bitcast=True), mask=inside)


def reduced(values: torch.Tensor, counted: torch.Tensor, highest: bool, lowest: bool) -> torch.Tensor:
    """Highest and lowest activations over the tokens that count.

    Args:
        values: [B, L, U] on a device, the last dimension contiguous.
        counted: bool [B, L] on it.
        highest, lowest: what is asked for.

    Returns:
        [4 | 2 | 6, B, U], to be copied at once: highest, sum, its position and number above 0; lowest and its position.
        Positions and numbers are int32 in the place of float32.
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
