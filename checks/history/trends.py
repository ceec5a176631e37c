"""Judged figures over the earlier runs that were known when a run was published: `trends.json` of its directory.

The page reads them from there and not from the history at the time of rendering, so that a run always gives the same
page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from corpus_audit.checks.history.history import History
from corpus_audit.pipelines.drift.comparable import reading_key
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.results import Bound, Judgement, Record, Results, Status, Verdict
from corpus_audit.schemas.run.run_file import RunFile

TRENDS_FILE = "trends.json"
MOST_FIGURES = 12
MOST_RUNS = 20

_URGENCY = (Status.FAIL, Status.ERROR, Status.MISSING, Status.INSUFFICIENT, Status.WAIVED, Status.WARN, Status.PASS)


class TrendPoint(Record):
    """A figure in an earlier run: its value and 95 % bounds, where there are any."""

    run: str
    verdict: Verdict | None
    signed: bool
    value: float | None
    low: float | None
    high: float | None


class Trend(Record):
    """A judged figure: its values in earlier runs, oldest first, its value in this run, and the bounds of the rule.

    ``warn`` and ``fail`` are None where the rule judges a difference from a reference, which does not bound the value.
    """

    metric: str
    slice: str
    unit: str
    points: tuple[TrendPoint, ...]
    value: float | None
    low: float | None
    high: float | None
    warn: Bound | None
    fail: Bound | None


class Trends(Record):
    """Contents of `trends.json`."""

    schema_: Literal["corpus-audit/trends/1"] = Field(default="corpus-audit/trends/1", alias="schema")
    run: str
    figures: Annotated[tuple[Trend, ...], Field(max_length=MOST_FIGURES)]

    model_config = ConfigDict(populate_by_name=True)

    def to_json(self) -> bytes:
        """The file's bytes; the same trends are the same bytes."""
        return strict_json.dumps(self.model_dump(mode="json", by_alias=True), indent=1) + b"\n"


def trends_of(output: Path, results: Results, facts: RunFile) -> Trends | None:
    """The judged figures in the last `MOST_RUNS` comparable runs; None if there is no such run.

    Figures that do not pass come first; there are at most `MOST_FIGURES`.

    Args:
        output: the output folder.
        results: of the run that is being published.
        facts: its `run.json`.

    Raises:
        StoreError: the history cannot be used.
    """
    judged: dict[tuple[str, str], Judgement] = {}
    for judgement in sorted(results.judgements, key=lambda judgement: _URGENCY.index(judgement.status)):
        if judgement.metric and judgement.value is not None:
            judged.setdefault((judgement.metric, judgement.slice), judgement)
    figures: list[Trend] = []
    with History.open(output) as history:
        earlier = {run.run for run in history.last(MOST_RUNS, reading_key(facts), before=results.run)}
        for (metric, slice_), judgement in judged.items():
            points = tuple(
                TrendPoint(
                    run=point.run.run,
                    verdict=point.run.verdict,
                    signed=point.run.signed is not None,
                    value=point.value,
                    low=point.low,
                    high=point.high,
                )
                for point in (history.series(metric, slice_) if earlier else ())
                if point.run.run in earlier and point.unit == judgement.unit
            )
            if points and len(figures) < MOST_FIGURES:
                own = judgement.reference is None and judgement.judged in ("interval", "value")
                figures.append(
                    Trend(
                        metric=metric,
                        slice=slice_,
                        unit=judgement.unit,
                        points=points,
                        value=judgement.value,
                        low=judgement.low,
                        high=judgement.high,
                        warn=judgement.warn if own else None,
                        fail=judgement.fail if own else None,
                    )
                )
    return Trends(run=results.run, figures=tuple(figures)) if figures else None


def read_trends(data: bytes) -> Trends:
    """`trends.json` from its bytes.

    Raises:
        StoreError: not strict JSON, or of another version.
    """
    try:
        return Trends.model_validate_json(strict_json.dumps(strict_json.loads(data)))
    except (strict_json.StrictJsonError, ValidationError) as error:
        raise StoreError(f"{TRENDS_FILE} cannot be read: {error}") from None
