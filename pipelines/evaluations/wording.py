"""What a comparison says in words: the reading of a difference, and the sentences over all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from corpus_audit.pipelines.evaluations.difference import Difference
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL


@dataclass(frozen=True, slots=True)
class OptionNames:
    """How messages name what the user set: by default the options of ``investigate compare``; {} is a side."""

    primary: str = "--primary"
    cluster: str = "--cluster"
    contaminated: str = "--contaminated"
    rule: str = "--rule"
    model: str = "--model-{}"


def reading(
    difference: Difference, q: float, higher_is_better: bool | None, names: tuple[str, str] = ("a", "b")
) -> tuple[str, str]:
    """The reading (shown, not shown, not enough data), and a clause that says it with its figures.

    Args:
        difference: what is read.
        q: its adjusted p.
        higher_is_better: whether a higher score is better, where it is known.
        names: of the two evaluations.
    """
    a, b = names
    if difference.lacking:
        return "not enough data", difference.lacking
    if q <= 1 - LEVEL:
        more = difference.value > 0
        worse = "" if higher_is_better is None else (", better" if more == higher_is_better else ", worse")
        amount = f"{abs(difference.value):.4g} {'more' if more else 'less'} than {a}{worse}"
        return "shown", f"{b} scores {amount} (95 %: {difference.low:+.4g} to {difference.high:+.4g})"
    most = max(abs(difference.low), abs(difference.high))
    return "not shown", f"at most {most:.4g} in either direction (95 %)"


def sentence(differences: pa.Table) -> str:
    """What a comparison says in all, in a sentence or three."""
    rows = differences.to_pylist()
    judged = [row for row in rows if row["reading"] != "not enough data"]
    shown = [row for row in rows if row["reading"] == "shown"]
    parts = [_counts(rows, judged, shown)]
    primary = [row for row in rows if row["family"] == "primary"]
    if primary:
        lines = [f"{row['task']} ({row['metric']}): {row['reading']}" for row in primary[:5]]
        parts.append(f"Primary: {'; '.join(lines)}{'; …' if len(primary) > 5 else ''}.")
    incomparable = sum(row["other_prompt"] + row["other_version"] for row in rows)
    if incomparable:
        parts.append(
            f"{incomparable:,} scores have another prompt or task version and were left out: they are incomparable, "
            "and say nothing of the models."
        )
    lone = sum(not (row["other_prompt"] + row["other_version"]) and row["incomparable"] is not None for row in rows)
    if lone:
        parts.append(f"{_comparisons(lone)} could not be made, as the evaluations used another metric or version.")
    return " ".join(parts)


def _counts(rows: list[dict[str, Any]], judged: list[dict[str, Any]], shown: list[dict[str, Any]]) -> str:
    without = len(rows) - len(judged)
    lack = f" For {without} there are not enough data." if without else ""
    if not judged:
        return f"Nothing can be said: there are not enough data for {_comparisons(len(rows))}."
    if not shown:
        return f"No difference is shown in {_comparisons(len(judged))}.{lack}"
    worse = sum(
        row["higher_is_better"] is not None and (row["difference"] < 0) == row["higher_is_better"] for row in shown
    )
    better = sum(row["higher_is_better"] is not None for row in shown) - worse
    kinds = [f"{count} {word}" for count, word in ((worse, "worse"), (better, "better")) if count]
    rest = len(shown) - worse - better
    kinds += [f"{rest} whose direction is not known"] if rest else []
    return f"b differs from a in {len(shown)} of {_comparisons(len(judged))}: {', '.join(kinds)}.{lack}"


def _comparisons(n: int) -> str:
    return f"{n} comparison" if n == 1 else f"{n} comparisons"
