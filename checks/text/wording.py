"""Figures and ranges in words, in the unit of their metric."""

from __future__ import annotations

from math import isfinite

from corpus_audit.checks.text import numbers
from corpus_audit.schemas.run.results import Bound


def figure(value: float | None, unit: str) -> str:
    """A figure in its unit: shares in per cent, whole numbers whole, others with four significant digits."""
    if value is None or not isfinite(value):
        return numbers.NONE
    if unit in ("share", "probability"):
        shown = f"{100 * value:.3g}" if abs(value) < 0.9995 else f"{100 * value:.5g}"
        return f"{shown} %".replace("-", numbers.MINUS)
    if value == int(value) and abs(value) < 2**53:
        return numbers.grouped(int(value))
    return f"{value:.4g}".replace("-", numbers.MINUS)


def bound_text(bound: Bound | None, unit: str) -> str:
    """A range in words: ``at most 5 %``; empty when there is none."""
    if bound is None or (bound.minimum is None and bound.maximum is None):
        return ""
    if bound.minimum is None:
        return f"at most {figure(bound.maximum, unit)}"
    if bound.maximum is None:
        return f"at least {figure(bound.minimum, unit)}"
    return f"{figure(bound.minimum, unit)} to {figure(bound.maximum, unit)}"
