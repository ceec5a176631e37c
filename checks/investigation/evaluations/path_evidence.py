"""The first actions in which attempts of two agents differ, as evidence with file and location."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from corpus_audit.schemas.run.findings import Evidence

MOST_PAIRS = 5
"""Pairs of attempts that are named as evidence; the table of partings has all."""

Row = Mapping[str, Any]


def parting_evidence(partings: Iterable[Row], names: tuple[str, str], flips_only: bool = False) -> tuple[Evidence, ...]:
    """Two rows a pair of attempts: the first action that differs in each. Pairs with another outcome come first.

    Args:
        partings: rows of `EVALUATION_PARTINGS` of one task.
        names: of the two evaluations.
        flips_only: only pairs of which one was solved and the other not.
    """
    apart = [row for row in partings if not row["identical"]]
    if flips_only:
        apart = [row for row in apart if _flipped(row)]
    apart.sort(key=lambda row: (not _flipped(row), row["equal"], row["item"], row["epoch_a"]))
    return tuple(
        _evidence(row, letter, name)
        for row in apart[:MOST_PAIRS]
        for letter, name in zip("ab", names, strict=True)
    )  # fmt: skip


def _flipped(row: Row) -> bool:
    return row["solved_a"] is not None and row["solved_b"] is not None and row["solved_a"] != row["solved_b"]


def _evidence(row: Row, letter: str, name: str) -> Evidence:
    """The action of one side; where its attempt had ended, the end of it."""
    location, solved = row[f"location_{letter}"], row[f"solved_{letter}"]
    outcome = "" if solved is None else ", solved" if solved else ", not solved"
    action = row[f"action_{letter}"]
    what = f"does {action}" if location is not None else "does nothing more"
    return Evidence(
        file=row[f"file_{letter}"],
        offset=0 if location is None else location,
        unit=row[f"unit_{letter}"],
        series="",
        step=row["equal"] + 1,
        value=None,
        shown=f"item {row['item']}, action {row['equal'] + 1}: {name} {what}{outcome}",
    )
