"""What differences in behaviour say in words: shown, or at most so much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from corpus_audit.pipelines.evaluations.difference import Difference
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL

Row = dict[str, Any]

Words = Callable[[Row, Difference, tuple[str, str]], tuple[str, str]]
"""Makes reading and reason of a row, its difference, and the names of a and b."""

SHOWN, NOT_SHOWN = "shown", "not shown"


def _bounds(difference: Difference, sign: str = "+") -> str:
    return f"(95 %: {difference.low:{sign}.4g} to {difference.high:{sign}.4g})"


def _most(difference: Difference) -> str:
    return f"at most {max(abs(difference.low), abs(difference.high)):.4g} in either direction (95 %)"


def of_usage(row: Row, difference: Difference, names: tuple[str, str]) -> tuple[str, str]:
    """A ratio of amounts, or a difference in errors."""
    shown = row["q"] <= 1 - LEVEL
    if row["scale"] == "ratio":
        if shown:
            return SHOWN, f"{names[1]} has {difference.value:.4g} times those of {names[0]} {_bounds(difference, '')}"
        return (
            NOT_SHOWN,
            f"at most a factor of {max(difference.high, 1 / difference.low):.4g} in either direction (95 %)",
        )
    if shown:
        figures = f"{difference.score_b:.4g} in {names[1]}, {difference.score_a:.4g} in {names[0]}"
        return SHOWN, f"{figures}: {difference.value:+.4g} an attempt {_bounds(difference)}"
    return NOT_SHOWN, _most(difference)


def of_paths(row: Row, difference: Difference, names: tuple[str, str]) -> tuple[str, str]:
    """Equal first actions between models, less those within one."""
    if row["q"] <= 1 - LEVEL and difference.value < 0:
        figures = f"{difference.score_b:.3g} equal first actions, attempts of one model {difference.score_a:.3g}"
        return SHOWN, f"attempts of {names[0]} and {names[1]} have {figures} {_bounds(difference)}"
    return NOT_SHOWN, f"{_most(difference)}, in equal first actions"


def of_rates(row: Row, difference: Difference, names: tuple[str, str]) -> tuple[str, str]:
    """A difference of rates of refusal, of harm, or of passing."""
    if row["q"] <= 1 - LEVEL:
        figures = f"{difference.score_b:.4g} in {names[1]}, {difference.score_a:.4g} in {names[0]}"
        return SHOWN, f"{figures}: {difference.value:+.4g} {_bounds(difference)}"
    return NOT_SHOWN, _most(difference)


READINGS: dict[str, Words] = {
    "evaluation_safety_differences": of_rates,
    "evaluation_pass_differences": of_rates,
    "evaluation_usage": of_usage,
    "evaluation_paths": of_paths,
}
"""By table with a difference a row, how it is read."""
