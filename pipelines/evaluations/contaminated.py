"""Reads which items of benchmarks the training data hold, and splits gains between them and clean items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus_audit.pipelines.evaluations.formats.head import head_of
from corpus_audit.pipelines.evaluations.formats.named_columns import ALIASES, names_of, table_rows
from corpus_audit.pipelines.evaluations.grouping import Measured
from corpus_audit.pipelines.evaluations.pairing import Pairs
from corpus_audit.pipelines.evaluations.records.bounded_files import ReadLimits, UnreadableFileError
from corpus_audit.pipelines.evaluations.records.values import text_of
from corpus_audit.pipelines.statistics.evaluations.leaks import LeakShare, leak_beyond_placebo, leak_share
from corpus_audit.schemas.errors import UsageError

DIRTY, CLEAN, UNKNOWN = 1, 0, -1
"""Status of an item; unknown are those that could not be tested or are not listed."""

_OUTCOMES = {
    "contaminated": DIRTY,
    "clean": CLEAN,
    "boilerplate": CLEAN,
    "untestable": UNKNOWN,
    "unjudged": UNKNOWN,
}
_TRUTHS = {"true": DIRTY, "1": DIRTY, "1.0": DIRTY, "false": CLEAN, "0": CLEAN, "0.0": CLEAN}

FEWEST_DIRTY = 10
"""Contaminated items, and clean ones, below which no leak is judged."""


@dataclass
class ContaminatedItems:
    """Which items are contaminated.

    Attributes:
        status: by task ("" for every task) and item: contaminated (1), clean (0) or untestable (-1).
        complete: whether clean items are listed too, so that an item that is not listed is unknown.
        named_tasks: whether the list names tasks.
        benchmark_of: by task of the evaluations, what the list calls it where the names differ.
        numbers: whether an id that is a number is one of the list. The number by which a program calls an item may be
            its position in a file, which says nothing of the ids of a list that was made elsewhere.
        limits: what the list does not say, in sentences.
    """

    status: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    complete: bool = False
    named_tasks: bool = False
    benchmark_of: Mapping[str, str] = field(default_factory=dict)
    numbers: bool = True
    limits: tuple[str, ...] = ()

    def benchmark(self, task: str) -> str:
        """What the list calls a task; empty where it names none."""
        return self.benchmark_of.get(task, task) if self.named_tasks else ""

    def names(self, item: str, item_id: str) -> tuple[str, ...]:
        """What an item may be called in the list: its hash, then its id where that is no mere number."""
        usable = item_id and (self.numbers or not item_id.isdecimal())
        return (item, item_id) if usable else (item,)

    def of(self, task: str, items: pa.Array, ids: pa.Array) -> npt.NDArray[np.int8]:
        """Status of items by hash or by id, int8 [n]."""
        known = self.status.get(self.benchmark(task), {})
        missing = UNKNOWN if self.complete else CLEAN
        statuses = [
            next((known[name] for name in self.names(item, own) if name in known), missing)
            for item, own in zip(items.to_pylist(), ids.to_pylist(), strict=True)
        ]
        return np.array(statuses, dtype=np.int8)


def read_contaminated(path: Path, rule: str | None, option: str = "--rule") -> ContaminatedItems:
    """Read a list of contaminated items: Parquet, CSV or JSON lines with a column for the item.

    Columns: the item (``item``, ``id``, ``doc_hash``, …), and if there are any, ``task`` or ``benchmark``, ``outcome``
    (as in the audit's ``contamination_items.parquet``) or ``contaminated`` (true, false, or null for untestable), and
    ``rule``. Without outcome and contaminated, every item that is listed is contaminated and every other one clean.

    Args:
        path: the file.
        rule: the rule whose rows are used; needed if there are several.
        option: how messages name ``rule``.

    Raises:
        UsageError: the file is missing, damaged or has no column for the item, or holds several rules or not the one.
    """
    limits = ReadLimits()
    try:
        head = head_of(path, path.name, limits)
        names = {name.lower(): name for name in names_of(head)}
        item = next((names[alias] for alias in ALIASES["item"] if alias in names), None)
        if item is None:
            raise UsageError(f"{path}: a table with a column 'item', 'id' or 'doc_hash' is needed")
        columns = [names[name] for name in ("task", "benchmark", "outcome", "contaminated", "rule") if name in names]
        records = list(table_rows(head, [item, *columns], limits))
    except (OSError, UnreadableFileError) as error:
        raise UsageError(f"{path}: {error}") from error
    rules = sorted({text_of(record.get(names["rule"])) for record in records}) if "rule" in names else []
    if rule is None and len(rules) > 1:
        raise UsageError(f"{path} holds the rules {', '.join(rules)}: choose one with {option}")
    if rule is not None and rule not in rules:
        raise UsageError(f"{path} holds no rule {rule!r}")
    task = names.get("task", names.get("benchmark"))
    result = ContaminatedItems(complete=bool({"outcome", "contaminated"} & names.keys()), named_tasks=task is not None)
    for record in records:
        if record.get(item) is None or (rule is not None and text_of(record.get(names["rule"])) != rule):
            continue
        of_task = result.status["" if task is None else text_of(record.get(task))]
        of_task[text_of(record[item])] = _status(record, names)
    return result


def _status(record: Mapping[str, Any], names: Mapping[str, str]) -> int:
    if "outcome" in names:
        return _OUTCOMES.get(text_of(record.get(names["outcome"])), UNKNOWN)
    if "contaminated" in names:
        return _TRUTHS.get(text_of(record.get(names["contaminated"])).lower(), UNKNOWN)
    return DIRTY


def leak_row(measured: Measured, pairs: Pairs, listed: ContaminatedItems, placebo: Pairs | None) -> dict[str, Any]:
    """What contaminated items account for in a difference; a row of `EVALUATION_LEAKS` without q and reading."""
    status = listed.of(measured.task, pairs.item, pairs.item_id)
    known = status != UNKNOWN
    dirty = status[known] == DIRTY
    row: dict[str, Any] = dict(measured._asdict()) | {
        "items": int(known.sum()),
        "contaminated": int(dirty.sum()),
        "untestable": int((~known).sum()),
    }
    for kind, of_kind in (("clean", status == CLEAN), ("contaminated", status == DIRTY)):
        if of_kind.any():
            row[f"{kind}_a"], row[f"{kind}_b"] = (float(s[of_kind].mean()) for s in (pairs.before, pairs.after))
    few = min(int(dirty.sum()), int((~dirty).sum()))
    if few < FEWEST_DIRTY:
        kind = "contaminated" if dirty.sum() <= (~dirty).sum() else "clean"
        return row | {"lacking": f"{few} {kind} items, and {FEWEST_DIRTY} are needed"}
    leak = _leak(pairs, status)
    row |= {
        "gain": leak.gain.mean,
        "gain_clean": leak.clean.mean,
        "gain_contaminated": leak.dirty.mean,
        "leak": leak.leak.value,
        "low": leak.leak.low,
        "high": leak.leak.high,
        "p": leak.p,
        "p_permuted": leak.p_permuted,
        "at_ceiling": leak.at_ceiling,
    }
    if np.isnan(leak.p):
        return row | {"lacking": "the differences do not vary, which tells no uncertainty"}
    if placebo is not None:
        other = listed.of(measured.task, placebo.item, placebo.item_id)
        if min((other == DIRTY).sum(), (other == CLEAN).sum()) >= FEWEST_DIRTY:
            beyond = leak_beyond_placebo(leak, _leak(placebo, other))
            row |= {
                "beyond_placebo": beyond.value,
                "beyond_placebo_low": beyond.low,
                "beyond_placebo_high": beyond.high,
            }
    return row | {"lacking": ""}


def _leak(pairs: Pairs, status: npt.NDArray[np.int8]) -> LeakShare:
    known = status != UNKNOWN
    cluster = None if pairs.cluster is None else pairs.cluster[known]
    return leak_share(pairs.before[known], pairs.after[known], status[known] == DIRTY, cluster)
