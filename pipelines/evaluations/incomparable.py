"""What makes scores of two evaluations incomparable, in words: another version, examples, metric or filter."""

from __future__ import annotations

import re
from collections.abc import Iterable


def other_version(a: str, b: str) -> str:
    """What differs between two task versions, such as ``another number of examples in the prompt (5-shot against …)``.

    Args:
        a, b: labels of `EVALUATION_ITEMS`: version, number of examples, and settings of the task.
    """
    parts = [re.split(r", | (?=\S+=)", label) for label in (a, b)]
    first = [part for part in parts[0] if part not in parts[1]]
    second = [part for part in parts[1] if part not in parts[0]]
    kinds = dict.fromkeys(_part_of_a_version(part) for part in [*first, *second])
    return f"another {' and another '.join(kinds)} ({', '.join(first) or 'none'} against {', '.join(second) or 'none'})"


def _part_of_a_version(part: str) -> str:
    if part.endswith("-shot"):
        return "number of examples in the prompt"
    return "task version" if part.startswith("version ") or "=" not in part else "setting of the task"


def other_measure(
    measured: tuple[str, str, str], name: str, other: str, of_other: Iterable[tuple[str, str, str]]
) -> str | None:
    """Why the score of a task in one evaluation has no counterpart: the other has another metric or filter of the task.

    Args:
        measured: task, metric and filter of the one.
        name, other: of the evaluations.
        of_other: what the other one has of this task.

    Returns:
        The clause; None if the other one does not have the task.
    """
    listed = sorted(of_other)
    if not listed:
        return None
    _, metric, filter_ = measured
    same = [each for each in listed if each[1] == metric]
    what, mine = ("filter", filter_ or "none") if same else ("metric", metric)
    theirs = list(dict.fromkeys((each[2] or "none") if same else each[1] for each in (same or listed)))
    shown = ", ".join(theirs[:5]) + (", …" if len(theirs) > 5 else "")
    return f"another {what} ({mine} in {name}, {shown} in {other})"
