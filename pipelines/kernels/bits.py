"""Bits of 64-bit masks."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.jit import inlined

_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_POSITIONS = np.zeros(64, np.int64)
for _bit in range(64):
    _POSITIONS[int(np.uint64((int(_DE_BRUIJN) << _bit) & (2**64 - 1)) >> np.uint64(58))] = _bit


@inlined
def lowest_bit(mask):
    """Position of the lowest set bit (Leiserson, Prokop and Randall 1998)."""
    return _POSITIONS[np.int64(((mask & (~mask + np.uint64(1))) * _DE_BRUIJN) >> np.uint64(58))]
