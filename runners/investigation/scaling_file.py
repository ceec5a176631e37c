"""Reads the runs of a scaling law from a CSV file."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

from corpus_audit.checks.investigation.scaling_findings import ScalingRun, ScalingRuns
from corpus_audit.schemas.errors import UsageError

MOST_RUNS = 2_000
"""Runs of a file; the fit without each of them takes memory with their square."""

_COLUMNS = ("run", "parameters", "tokens", "loss")


def read_scaling_runs(path: Path) -> ScalingRuns:
    """Read runs: a row each, with the columns ``run``, ``parameters``, ``tokens`` and ``loss`` (nats a token).

    Rows with a value that is no positive number are counted and left out.

    Raises:
        UsageError: the file cannot be read, lacks a column, names a run twice or has more than `MOST_RUNS` runs.
    """
    runs: dict[str, ScalingRun] = {}
    refused: Counter[str] = Counter()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise UsageError(f"scaling: {path} has no column {missing[0]!r}; it needs {', '.join(_COLUMNS)}")
            for row in rows:
                name = row["run"] or ""
                figures = [_positive(row[column]) for column in _COLUMNS[1:]]
                if None in row or None in row.values() or not name:
                    refused["another number of columns, or no name"] += 1
                elif any(math.isnan(figure) for figure in figures):
                    refused["a value is no positive number"] += 1
                elif name in runs:
                    raise UsageError(f"scaling: {path} has the run {name!r} twice")
                elif len(runs) == MOST_RUNS:
                    raise UsageError(f"scaling: {path} has more than {MOST_RUNS:,} runs")
                else:
                    runs[name] = ScalingRun(name, *figures)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"scaling: cannot read {path}: {error}") from error
    return ScalingRuns(path.name, tuple(runs.values()), dict(refused))


def _positive(text: str | None) -> float:
    """A positive finite number, or NaN."""
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if 0 < value < math.inf else math.nan
