"""What rows of the drift tables say, in three values: shown, not shown, or not to be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.schemas.tables.drift_tables import EVEN_COPIES

Reading = Literal["drift", "no drift shown", "insufficient"]
Move = Literal["moved", "no move shown", "insufficient"]
Case = Literal["tested", "same", "even", "new", "gone", "untested"]
Told = Literal["told apart", "not told apart", "insufficient"]

SIGNIFICANT = 0.05
EVEN = 0.5
"""The AUC of a classifier that tells nothing apart."""

Row = Mapping[str, Any]


def reading(row: Row) -> Reading:
    """What a row of DRIFT with statistic jsd says.

    Drift is shown when the lower bound of the excess divergence is above 0; where there is no bound or no p the data
    show neither drift nor its absence.
    """
    if row["low"] is None or row["high"] is None or row["p"] is None:
        return "insufficient"
    return "drift" if row["low"] > 0 else "no drift shown"


def case(row: Row) -> Case:
    """Why a row of DRIFT with statistic jsd says what it says."""
    if row["documents_baseline"] == 0 and row["documents_current"]:
        return "new"
    if row["documents_current"] == 0 and row["documents_baseline"]:
        return "gone"
    if reading(row) == "insufficient":
        return "untested"
    if row["permutations"]:
        return "tested"
    return "even" if row["reason"] == EVEN_COPIES else "same"


def move(low: float | None, high: float | None, q: float | None = None) -> Move:
    """Whether a difference with its bounds is one; with ``q``, that of one among many, q must say so too."""
    if low is None or high is None:
        return "insufficient"
    clear = low > 0 or high < 0
    return "moved" if clear and (q is None or q <= SIGNIFICANT) else "no move shown"


def told_apart(row: Row) -> Told:
    """What a row of DRIFT_CLASSIFIER says."""
    if row["auc"] is None or row["low"] is None or row["p"] is None:
        return "insufficient"
    return "told apart" if row["low"] > EVEN and row["p"] <= SIGNIFICANT else "not told apart"


def token_text(text: str, width: int = 24) -> str:
    """A token made safe, its spaces and line ends shown, cut to ``width`` columns; many spaces are counted."""
    shown = (
        re.sub(" {4,}", lambda spaces: f"␣×{len(spaces[0])}", text)
        .replace(" ", "␣")
        .replace("\r", "\\r")
        .replace("\n", "\\n")
        .replace("\t", "\\t")
    )
    return fit(safe_text(shown, 4 * width), width).rstrip()
