"""Judged runs with a history of earlier ones."""

from __future__ import annotations

from pathlib import Path

from corpus_audit.checks.history.trends import TRENDS_FILE, Trend, TrendPoint, Trends
from corpus_audit.schemas.run.results import Bound, Verdict


def trends(runs: int = 6, figures: int = 3) -> Trends:
    """Figures that rise by a tenth a run."""
    verdicts = (Verdict.PASS, Verdict.WARN, Verdict.FAIL, None, Verdict.NONE)
    made = []
    for index in range(figures):
        start = 0.01 * (index + 1)
        values = [start * 1.1**run for run in range(runs + 1)]
        points = tuple(
            TrendPoint(
                run=f"202611{run + 1:02d}T060000Z",
                verdict=verdicts[run % len(verdicts)],
                signed=run % 3 == 0,
                value=None if (run, index) == (1, 1) else value,
                low=None if index == 2 else 0.9 * value,
                high=None if index == 2 else 1.1 * value,
            )
            for run, value in enumerate(values[:-1])
        )
        now = values[-1]
        made.append(
            Trend(
                metric=f"metric_{index}",
                slice="domain=web/common-crawl",
                unit="share",
                points=points,
                value=now,
                low=0.9 * now,
                high=1.1 * now,
                warn=Bound(maximum=0.02),
                fail=Bound(maximum=0.9),
            )
        )
    return Trends(run="20261122-7f3a91c2", figures=tuple(made))


def write_trends(run: Path, given: Trends | None = None) -> Path:
    """Put `trends.json` into a run directory."""
    (run / TRENDS_FILE).write_bytes((given or trends()).to_json())
    return run
