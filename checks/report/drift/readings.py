"""What rows of the drift tables say, in three values: shown, not shown, or not enough data.

Every reading follows p_adjusted of its row (`pipelines/drift/lenses.py`), so that no row says the contrary of its own
test, or of the conclusion. Intervals are of sizes: `bounds_agree` says whether one may stand beside a reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.pipelines.drift.lenses import LEVEL
from corpus_audit.schemas.tables.drift_tables import EVEN_COPIES

Reading = Literal["drift", "no drift shown", "not enough data"]
Move = Literal["moved", "no move shown", "not enough data"]
Case = Literal["tested", "same", "even", "new", "gone", "untested"]
Separation = Literal["distinguished", "not distinguished", "not enough data"]

EVEN = 0.5
"""The AUC of a classifier that tells nothing apart."""

Row = Mapping[str, Any]


def adjusted(row: Row) -> float | None:
    """The p that a row's reading follows; as it is in runs of earlier versions, and 1 where nothing could differ."""
    p: float | None = row.get("p")
    value: float | None = row.get("p_adjusted", p)
    return p if value is None and p == 1.0 else value


def is_shown(row: Row) -> bool | None:
    """Whether the test of a row rejects that nothing moved; None where there is no test."""
    p = adjusted(row)
    return None if p is None else p <= LEVEL


def reading(row: Row) -> Reading:
    """What a row of DRIFT or DRIFT_EDITS with statistic jsd says."""
    shown = is_shown(row)
    if shown is None:
        return "not enough data"
    return "drift" if shown else "no drift shown"


def case(row: Row) -> Case:
    """Why a row of DRIFT with statistic jsd says what it says."""
    if row["documents_baseline"] == 0 and row["documents_current"]:
        return "new"
    if row["documents_current"] == 0 and row["documents_baseline"]:
        return "gone"
    if reading(row) == "not enough data":
        return "untested"
    if row["permutations"]:
        return "tested"
    return "even" if row["reason"] == EVEN_COPIES else "same"


def move(row: Row) -> Move:
    """Whether a row of DRIFT_DOMAINS, or of DRIFT_LENGTHS with statistic ks, shows a difference."""
    shown = is_shown(row)
    if shown is None and row.get("change") == 0:
        return "no move shown"  # both hold the same lengths: there is nothing to test
    if shown is None and "p" not in row and row["low"] is not None and row["high"] is not None:
        shown = row["low"] > 0 or row["high"] < 0  # lengths in a run of an earlier version
    if shown is None:
        return "not enough data"
    return "moved" if shown else "no move shown"


def separation(row: Row) -> Separation:
    """What a row of DRIFT_CLASSIFIER says."""
    shown = is_shown(row)
    if row["auc"] is None or shown is None:
        return "not enough data"
    return "distinguished" if shown else "not distinguished"


def bounds_agree(shown: bool, low: float | None, high: float | None, null: float = 0.0) -> bool:
    """Whether an interval says what the test says: it leaves out ``null`` if, and only if, the test rejects.

    The interval is of the size: it can reach to 0 where the test shows drift, and is not adjusted for many tests.
    """
    if low is None or high is None:
        return False
    return shown == (low > null or high < null)


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
