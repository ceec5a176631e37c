"""How figures are written, on the page and on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite, log10

MINUS = "−"
ROUNDING = 1e-9
"""Per cents nearer than this to 0 or 100 are 0 or 100: sums of floats end there."""

NONE = "–"
"""Shown where there is no figure."""


def grouped(n: int) -> str:
    """An exact integer with thousands separators: ``1,240,332``."""
    return f"{n:,}".replace("-", MINUS)


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _scaled(n: float, steps: tuple[tuple[float, str], ...]) -> str:
    for scale, suffix in steps:
        if n >= scale * 0.9995:
            return f"{_three_digits(n / scale)} {suffix}"
    return ""


def compact(n: int) -> str:
    """A large count in three digits, ``1.24 M``; exact below 100,000. k, M, B and T are powers of 1,000."""
    return grouped(n) if n < 100_000 else _scaled(n, ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")))


def byte_size(n: int) -> str:
    """Bytes in decimal units, three digits: ``3.31 GB``."""
    return _scaled(n, ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))) or f"{n} B"


def tick(n: float) -> str:
    """A power of ten or a round count as an axis says it: ``100``, ``10k``, ``1M``."""
    for scale, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if n >= scale:
            return f"{n / scale:g}{suffix}"
    return f"{n:g}"


def length(value: float) -> str:
    """A document length: grouped, with one decimal below 100 where it has one."""
    return f"{value:.1f}" if value < 100 and value != int(value) else grouped(round(value))


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage, ``12.3 %``; never 0 or 100 for what is not."""
    return f"{percent_figure(share, decimals)} %"


def percent_figure(share: float, decimals: int = 1) -> str:
    """`percent` without its sign, for columns whose heading has it."""
    if not isfinite(share):
        return NONE
    smallest = 10.0**-decimals
    shown = 100.0 * share
    if ROUNDING < shown < smallest / 2:
        return f"< {smallest:.{decimals}f}"
    if -smallest / 2 < shown < -ROUNDING:
        return f"> {MINUS}{smallest:.{decimals}f}"
    if 100.0 - smallest / 2 < shown < 100.0 - ROUNDING:
        return f"> {100.0 - smallest:.{decimals}f}"
    return f"{shown:.{decimals}f}".replace("-", MINUS)


def interval(low: float | None, high: float | None, decimals: int = 1) -> str:
    """Bounds of a share in per cent, ``[11.9, 12.7]``."""
    if low is None or high is None:
        return NONE
    return f"[{100 * low:.{decimals}f}, {100 * high:.{decimals}f}]".replace("-", MINUS)


def points(difference: float, decimals: int = 1) -> str:
    """A difference of shares in percentage points, always signed: ``+4.1``."""
    text = f"{100 * difference:+.{decimals}f}"
    return text.replace("-", MINUS) if float(text) else text.replace("-", "+")


def points_interval(low: float | None, high: float | None, decimals: int = 1) -> str:
    """Bounds of a difference in percentage points, signed."""
    if low is None or high is None:
        return NONE
    return f"[{points(low, decimals)}, {points(high, decimals)}]"


def share_decimals(widths: Iterable[float]) -> int:
    """Decimals of a column of percentages, 1 to 3: enough that the median interval does not look empty.

    Args:
        widths: interval widths, as shares; none gives 1.
    """
    ordered = sorted(width for width in widths if width > 0)
    if not ordered:
        return 1
    median = 100 * ordered[len(ordered) // 2]
    return min(max(1 - int(log10(median) // 1) - 1, 1), 3) if median < 1 else 1


def plural(n: int, noun: str) -> str:
    """``1 shard``, ``2 shards``, ``2 domains``: the count, exact, and its noun."""
    return f"{grouped(n)} {noun if n == 1 else noun + 's'}"
