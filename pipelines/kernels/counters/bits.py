"""Counts and visits the set bits of 64-bit masks."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel

_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_POSITIONS = np.zeros(64, np.int64)
for _bit in range(64):
    _POSITIONS[int(np.uint64((int(_DE_BRUIJN) << _bit) & (2**64 - 1)) >> np.uint64(58))] = _bit


@inlined
def lowest_bit(mask):
    """Position of the lowest set bit (Leiserson, Prokop and Randall 1998)."""
    return _POSITIONS[np.int64(((mask & (~mask + np.uint64(1))) * _DE_BRUIJN) >> np.uint64(58))]


@kernel
def _set_bits(masks):
    total = np.uint64(0)
    for mask in masks:  # bits in parallel, so that the compiler can take several masks at a time
        mask -= (mask >> np.uint64(1)) & np.uint64(0x5555555555555555)
        mask = (mask & np.uint64(0x3333333333333333)) + ((mask >> np.uint64(2)) & np.uint64(0x3333333333333333))
        mask = (mask + (mask >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        total += (mask * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return np.int64(total)


def set_bits(masks: np.ndarray) -> int:
    """The number of set bits of all masks, uint64."""
    return int(_set_bits(masks))


@inlined
def add_group_counts(mask, counts, at, sums):
    """Add the counts of a mask's set bits, which begin at ``at``, to ``sums`` [64]; returns where they end."""
    while mask != 0:
        sums[lowest_bit(mask)] += counts[at]
        at += 1
        mask &= mask - np.uint64(1)
    return at


@inlined
def take_group_sums(mask, sums, out, n):
    """Move the sums of a mask's set bits to ``out``, from ``n`` on, and set them to 0; returns where they end."""
    while mask != 0:
        group = lowest_bit(mask)
        out[n] = sums[group]
        sums[group] = 0
        n += 1
        mask &= mask - np.uint64(1)
    return n
