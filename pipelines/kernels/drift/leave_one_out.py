"""Divergence of two token distributions without one group of documents at a time, for a delete-a-group jackknife."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel
from corpus_audit.pipelines.kernels.drift.group_rows import Floats, Integers, token_rows, token_totals
from corpus_audit.pipelines.kernels.drift.logarithm import log
from corpus_audit.pipelines.kernels.drift.token_classes import token_classes

_TINY = 1e-300

_STATES = 16
_STATE_LIMIT = np.array([0, 1, 3, 3, *[7] * 4, *[15] * 8, -1])
"""The most that a token has in a group -> how much it is taken to have at most: few limits make few classes."""


@inlined
def _term(a, b, scale_first, scale_second):
    """The first term of `divergence.exchange_sums`, computed in the same way."""
    p = a * scale_first
    q = b * scale_second
    both = p + q
    t = np.divide(p - q, max(both, _TINY))
    up = 1.0 + t
    down = 1.0 - t
    return 0.5 * both * (up * log(max(up, _TINY)) + down * log(max(down, _TINY)))


@kernel
def _add_left_out(counts, groups, stops, first, second, sign_first, sign_second, scales, x, sums):
    """Add R tokens' terms to ``sums`` [G], token by token in the order given; ``x`` [G] is 0 before and after."""
    start = np.int64(0)
    for token in range(len(stops)):
        stop = stops[token]
        for i in range(start, stop):
            x[groups[i]] = counts[i]
        for w in range(len(sums)):
            a = first[token] + sign_first * x[w]
            b = second[token] + sign_second * x[w]
            sums[w] += _term(a, b, scales[0, w], scales[1, w])
        for i in range(start, stop):
            x[groups[i]] = 0.0
        start = stop


@kernel
def _add_classes(
    counts, groups, starts, stops, ends, first, second, largest, sign_first, sign_second, scales, number, sums
):
    """Add the terms of the tokens of some classes to ``sums`` [G].

    ``number`` float64 [states, G] counts the tokens of a class by what they have in a group.
    """
    token = np.int64(0)
    for m in range(len(ends)):
        for w in range(len(sums)):
            number[0, w] = ends[m] - token
            for state in range(1, largest[m] + 1):
                number[state, w] = 0
        seen = np.int64(0)
        while token < ends[m]:
            for i in range(starts[token], stops[token]):
                number[0, groups[i]] -= 1
                number[counts[i], groups[i]] += 1
                seen = max(seen, np.int64(counts[i]))
            token += 1
        for state in range(seen + 1):
            a = first[m] + sign_first * state
            b = second[m] + sign_second * state
            if a >= 0 and b >= 0:
                for w in range(len(sums)):
                    sums[w] += number[state, w] * _term(a, b, scales[0, w], scales[1, w])


def left_out_sums(
    groups: Integers | Floats,
    fixed: tuple[Integers, Integers],
    signs: tuple[int, int],
    scales: Floats,
) -> Floats:
    """Sums over K tokens of p ln(2 p / (p + q)) + q ln(2 q / (p + q)), once for each of G groups of documents.

    For a group with the occurrences x, p = scales[0] (fixed[0] + signs[0] x) and q = scales[1] (fixed[1] + signs[1] x).
    It is what `divergence.exchange_sums` returns in its first row if one group is selected at a time, but for the last
    bits.

    Args:
        groups: int64 or float64 [G, K], the tokens' occurrences by group, G <= 256; multiples of 1/2, whose absolute
            values add up to less than 2^52 over the groups.
        fixed: [K] each, the sides with all groups.
        signs: -1, 0 or 1 each; what is left must not be negative.
        scales: float64 [2, G], one over the tokens of the two sides without each group.

    Returns:
        float64 [G].
    """
    sums, x = np.zeros((2, len(groups)))
    sign_first, sign_second = float(signs[0]), float(signs[1])
    totals = token_totals([groups])
    left = np.ones(groups.shape[1], bool)
    if groups.dtype.kind == "i":
        largest = _STATE_LIMIT[np.minimum(totals.largest, _STATES)]
        classes, left = token_classes([groups], *fixed, largest, totals.occupied)
        number = np.empty((_STATES, len(groups)))
        _add_classes(*classes, sign_first, sign_second, scales, number, sums)
    for rows in token_rows([groups], *fixed, totals, left):
        _add_left_out(*rows[:5], sign_first, sign_second, scales, x, sums)
    return sums
