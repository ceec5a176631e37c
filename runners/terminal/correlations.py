"""What ``units --with UNIT --correlated`` prints: correlations of a unit with others over sampled tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from corpus_audit.checks.text import numbers
from corpus_audit.embeddings.coactivation.correlated_units import CorrelatedUnit, CorrelationResult
from corpus_audit.embeddings.index.rates import LEAST_DOCUMENTS


def correlation_lines(unit: str, result: CorrelationResult, k: int) -> Iterator[str]:
    """The ``k`` strongest positive and negative correlations as tables, at most 80 columns."""
    compared = len(result.units)
    yield f"Correlation with {unit} over {numbers.plural(result.tokens, 'token')}"
    part = "all windows" if result.of_corpus == 1 else f"{result.of_corpus:.1%} of windows, by hash"
    yield f"({part}, of {numbers.plural(result.documents, 'document')}; {numbers.plural(compared, 'unit')} compared)"
    if result.documents < LEAST_DOCUMENTS:
        yield f"not enough data for intervals, which need {LEAST_DOCUMENTS} documents"
    else:
        yield f"{result.certain:,} of {compared:,} correlate (q at most 5 %)"
    for name, units in (("Active together", _together(result)), ("One active where the other is not", _apart(result))):
        if not units:
            continue
        yield f"{name:33} {'r':>7}  {'95 % interval':>18} {'q':>9}"
        for each in units[:k]:
            interval = f"[{each.low:+.3f}, {each.high:+.3f}]" if math.isfinite(each.low) else numbers.NONE
            q = numbers.NONE if math.isnan(each.q) else "< 0.0001" if each.q < 0.0001 else f"{each.q:.4f}"
            yield f"{each.unit!s:33} {each.r:+7.3f}  {interval:>18} {q:>9}"
        if len(units) > k:
            yield f"and {len(units) - k:,} more"
    if result.constant:
        yield f"({numbers.plural(result.constant, 'unit')} left out: constant on these tokens)"
    yield "(in order of the interval's end nearer to 0; documents as clusters)"


def correlation_json(result: CorrelationResult, k: int) -> dict[str, Any]:
    """A result as plain values, ``k`` units of either sign; what is not a number is null."""
    return {
        "of": len(result.units) + result.constant,
        "constant": result.constant,
        "count": result.certain,
        "windows": result.windows,
        "share_of_windows": result.of_corpus,
        "documents": result.documents,
        "tokens": result.tokens,
        "provenance": result.provenance,
        "cached": result.cached,
        "units": [_unit_json(each) for each in _together(result)[:k]],
        "opposed": [_unit_json(each) for each in _apart(result)[:k]],
    }


def _together(result: CorrelationResult) -> list[CorrelatedUnit]:
    return [each for each in result.units if each.r > 0]


def _apart(result: CorrelationResult) -> list[CorrelatedUnit]:
    return [each for each in result.units if each.r < 0]


def _unit_json(each: CorrelatedUnit) -> dict[str, Any]:
    known = math.isfinite(each.low)
    return {
        "unit": str(each.unit),
        "r": each.r,
        "interval": [each.low, each.high] if known else None,
        "p": each.p if known else None,
        "q": each.q if known else None,
    }
