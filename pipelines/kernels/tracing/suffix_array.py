"""Suffix arrays in linear time by induced sorting: SA-IS (Nong, Zhang and Chan 2009), over an alphabet of integers."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel


def suffix_array(symbols: np.ndarray, largest: int) -> np.ndarray:
    """Positions of all suffixes in lexicographic order; a suffix that is a prefix of another one stands before it.

    Args:
        symbols: int32 [n], 0 to ``largest``.
        largest: the largest symbol, or more; memory is 8 bytes for each number up to it.

    Returns:
        int32 [n].
    """
    n = len(symbols)
    if n < 2:
        return np.arange(n, dtype=np.int32)
    small = np.empty(n, np.uint8)
    bucket_large, bucket_small = np.zeros(largest + 2, np.int32), np.zeros(largest + 2, np.int32)
    count = _types(symbols, small, bucket_large, bucket_small)
    suffixes, heads = np.empty(n, np.int32), np.empty(largest + 2, np.int32)
    if not count:
        _induce(symbols, small, bucket_large, bucket_small, suffixes, heads, np.empty(0, np.int32))
        return suffixes
    leftmost, numbers = np.empty(count, np.int32), np.full(n, -1, np.int32)
    _leftmost(small, leftmost, numbers)
    _induce(symbols, small, bucket_large, bucket_small, suffixes, heads, leftmost)
    order, names = np.empty(count, np.int32), np.empty(count, np.int32)
    last = _name(symbols, suffixes, leftmost, numbers, order, names)
    del numbers
    if last + 1 < count:
        inner = suffix_array(names, last)
        order = leftmost[inner]
        del inner
    _induce(symbols, small, bucket_large, bucket_small, suffixes, heads, order)
    return suffixes


@kernel
def _types(symbols, small, bucket_large, bucket_small):
    """Mark suffixes smaller than the next one (S), fill the starts of the buckets' parts; returns how many are LMS."""
    n = len(symbols)
    small[n - 1] = 0
    for i in range(n - 2, -1, -1):
        small[i] = small[i + 1] if symbols[i] == symbols[i + 1] else np.uint8(symbols[i] < symbols[i + 1])
    for i in range(n):
        if small[i]:
            bucket_large[symbols[i] + 1] += 1
        else:
            bucket_small[symbols[i]] += 1
    for symbol in range(len(bucket_small) - 1):
        bucket_small[symbol] += bucket_large[symbol]
        bucket_large[symbol + 1] += bucket_small[symbol]
    count = 0
    for i in range(1, n):
        count += small[i] and not small[i - 1]
    return count


@kernel
def _leftmost(small, leftmost, numbers):
    """Positions of the leftmost S suffixes (LMS), in the order of the text, and the number of each."""
    m = 0
    for i in range(1, len(small)):
        if small[i] and not small[i - 1]:
            numbers[i] = m
            leftmost[m] = i
            m += 1


@kernel
def _induce(symbols, small, bucket_large, bucket_small, suffixes, heads, leftmost):
    """Sort all suffixes from LMS suffixes in the given order."""
    n = len(symbols)
    for i in range(n):
        suffixes[i] = -1
    for symbol in range(len(heads)):
        heads[symbol] = bucket_small[symbol]
    for at in leftmost:
        symbol = symbols[at]
        suffixes[heads[symbol]] = at
        heads[symbol] += 1
    for symbol in range(len(heads)):
        heads[symbol] = bucket_large[symbol]
    symbol = symbols[n - 1]
    suffixes[heads[symbol]] = n - 1
    heads[symbol] += 1
    for i in range(n):
        at = suffixes[i] - 1
        if at >= 0 and not small[at]:
            symbol = symbols[at]
            suffixes[heads[symbol]] = at
            heads[symbol] += 1
    for symbol in range(len(heads)):
        heads[symbol] = bucket_large[symbol]
    for i in range(n - 1, -1, -1):
        at = suffixes[i] - 1
        if at >= 0 and small[at]:
            symbol = symbols[at] + 1
            heads[symbol] -= 1
            suffixes[heads[symbol]] = at


@kernel
def _name(symbols, suffixes, leftmost, numbers, order, names):
    """Number the LMS substrings by their order, equal ones alike; returns the largest number.

    ``order`` receives the LMS positions as sorted, ``names`` the number of each in the order of the text.
    """
    n, m = len(symbols), len(leftmost)
    found = 0
    for i in range(n):
        if suffixes[i] >= 0 and numbers[suffixes[i]] >= 0:
            order[found] = suffixes[i]
            found += 1
    name = 0
    names[numbers[order[0]]] = 0
    for i in range(1, m):
        left, right = order[i - 1], order[i]
        left_number, right_number = numbers[left], numbers[right]
        left_end = leftmost[left_number + 1] if left_number + 1 < m else n
        right_end = leftmost[right_number + 1] if right_number + 1 < m else n
        same = left_end - left == right_end - right
        if same:
            while left < left_end and symbols[left] == symbols[right]:
                left += 1
                right += 1
            same = left == left_end and left < n and right < n and symbols[left] == symbols[right]
        name += not same
        names[right_number] = name
    return name
