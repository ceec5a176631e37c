"""The median and the median absolute deviation around every point of a series, the point itself left out."""

from __future__ import annotations

from corpus_audit.pipelines.kernels.compiler.jit import kernel, subkernel


@kernel
def local_scale(values, half, window, median, deviation):
    """Fill ``median`` and ``deviation`` with those of up to ``half`` neighbours on either side of every point.

    A sorted window moves along the series; the deviations of sorted numbers from their median are two sorted lists,
    which are merged up to the middle.

    Args:
        values: float64 [N], finite.
        half: neighbours on a side, at least 1.
        window: float64 [2 * half + 2], scratch: a point is added before another is removed.
        median, deviation: float64 [N] to fill; of an even number the mean of the middle two. N is at least 2.
    """
    n = len(values)
    size = 0
    for i in range(min(half, n)):
        size = _insert(window, size, values[i])
    for i in range(n):
        if i + half < n:
            size = _insert(window, size, values[i + half])
        if i - half - 1 >= 0:
            size = _remove(window, size, values[i - half - 1])
        skip = _position(window, size, values[i])
        m = size - 1  # without the point itself
        high = m // 2
        low = high if m % 2 else high - 1
        centre = 0.5 * (window[low + (low >= skip)] + window[high + (high >= skip)])
        median[i] = centre
        # The k-th smallest deviation: walk outwards from the middle.
        left, right = low, low + 1
        previous = 0.0
        current = 0.0
        for _ in range(high + 1):
            previous = current
            below = centre - window[left + (left >= skip)] if left >= 0 else 0.0
            above = window[right + (right >= skip)] - centre if right < m else 0.0
            if right >= m or (left >= 0 and below <= above):
                current = below
                left -= 1
            else:
                current = above
                right += 1
        deviation[i] = current if m % 2 else 0.5 * (previous + current)


@subkernel
def _position(window, size, value):
    """Where a value is in a sorted window, or belongs."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if window[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@subkernel
def _insert(window, size, value):
    at = _position(window, size, value)
    for i in range(size, at, -1):
        window[i] = window[i - 1]
    window[at] = value
    return size + 1


@subkernel
def _remove(window, size, value):
    for i in range(_position(window, size, value), size - 1):
        window[i] = window[i + 1]
    return size - 1
