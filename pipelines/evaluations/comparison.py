"""Compares two evaluations task by task: tables of differences, leaks, claims and of everything that was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.evaluations.claims import claims_table
from corpus_audit.pipelines.evaluations.contaminated import ContaminatedItems, leak_row
from corpus_audit.pipelines.evaluations.difference import Difference, aggregate_difference, paired_difference, reading
from corpus_audit.pipelines.evaluations.grouping import Measured, Scores, by_measure, of_model
from corpus_audit.pipelines.evaluations.pairing import Pairs, pair
from corpus_audit.pipelines.evaluations.records.items import Claim, Evaluation
from corpus_audit.pipelines.evaluations.repeats import repeats_tables
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg, holm
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.tables.investigation.evaluation_tables import COMPARISON_TABLES

_LOWER_IS_BETTER = ("ppl", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "loss", "brier_score")
_HIGHER_IS_BETTER = ("acc", "acc_norm", "accuracy", "exact_match", "em", "f1", "match", "correct", "resolved", "reward",
                     "win_rate", "mcc", "choice", "includes")  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """The result of comparing evaluation b with evaluation a.

    Attributes:
        tables: by name, the tables of `COMPARISON_TABLES`.
        sentence: what can be said in all.
    """

    tables: dict[str, pa.Table]
    sentence: str


@dataclass(frozen=True, slots=True)
class Side:
    """One evaluation of a comparison, and the model that is compared."""

    evaluation: Evaluation
    model: str | None = None


def compare(
    a: Side,
    b: Side,
    primary: tuple[str, ...] = (),
    contaminated: ContaminatedItems | None = None,
    placebo: Side | None = None,
) -> Comparison:
    """Compare two evaluations.

    Args:
        a: the evaluation that is compared with.
        b: the evaluation whose scores are asked about.
        primary: tasks, or TASK:METRIC, whose tests are adjusted by Holm among themselves; all others by
            Benjamini-Hochberg.
        contaminated: which items are contaminated; adds the table of leaks.
        placebo: an evaluation before a, for the leaks.

    Raises:
        UsageError: there are several models and none is named, a primary task is in neither evaluation, or there is
            nothing to compare.
    """
    scores_a, scores_b = (_scores(side, letter) for side, letter in ((a, "a"), (b, "b")))
    claims_a, claims_b = (_claims(side) for side in (a, b))
    measures = sorted(scores_a.keys() | scores_b.keys() | (claims_a.keys() & claims_b.keys()))
    if not measures:
        raise UsageError("neither evaluation holds scores of items, and they have no figure in common")
    _check_primary(primary, measures)
    better = {**a.evaluation.higher_is_better, **b.evaluation.higher_is_better}
    pairs: dict[Measured, Pairs] = {}
    rows = []
    for measured in measures:
        row = dict(measured._asdict()) | {"family": "primary" if _is_primary(measured, primary) else "other"}
        row |= dict.fromkeys(("only_a", "only_b", "other_prompt", "other_version"), 0)
        row["higher_is_better"] = _direction(measured, better)
        if measured in scores_a and measured in scores_b:
            pairs[measured] = pair(scores_a[measured], scores_b[measured])
            rows.append(row | _paired_row(pairs[measured]))
        elif measured in claims_a and measured in claims_b:
            rows.append(row | {"difference_of": _of_claims(claims_a[measured], claims_b[measured])})
        else:
            rows.append(row | _lone_row(scores_a.get(measured), scores_b.get(measured)))
    differences = _judged(rows)
    tables = {"evaluation_differences": differences}
    if contaminated is not None:
        placebo_scores = {} if placebo is None else _scores(placebo, "placebo")
        tables["evaluation_leaks"] = _leaks(pairs, contaminated, placebo_scores, scores_a)
    sides = [("a", a), ("b", b)] + ([] if placebo is None else [("placebo", placebo)])
    tables |= repeats_tables([("a", scores_a), ("b", scores_b)])
    tables |= _read_tables(sides, {"a": scores_a, "b": scores_b})
    return Comparison({name: tables[name] for name in COMPARISON_TABLES if name in tables}, sentence(differences))


def _scores(side: Side, letter: str) -> dict[Measured, Scores]:
    option = f"--model-{letter}"
    return dict(by_measure(of_model(side.evaluation.items, side.model, option, side.evaluation.name)))


def _claims(side: Side) -> dict[Measured, list[Claim]]:
    """Claims on single tasks, of the model that is compared."""
    claims: dict[Measured, list[Claim]] = {}
    for claim in side.evaluation.claims:
        if not claim.parts and (side.model is None or claim.model in ("", side.model)):
            claims.setdefault(Measured(claim.task, claim.metric, claim.filter), []).append(claim)
    return claims


def _of_claims(a: list[Claim], b: list[Claim]) -> Difference:
    """The difference of what files state; there is none if the files of one evaluation state different values."""
    difference = aggregate_difference(a[0], b[0])
    for letter, claims in (("a", a), ("b", b)):
        if len({claim.value for claim in claims}) > 1:
            difference = _because(
                difference, f"{len(claims)} files of {letter} state different values: name one of them"
            )
    return difference


def _check_primary(primary: tuple[str, ...], measures: Iterable[Measured]) -> None:
    names = {name for measured in measures for name in (measured.task, f"{measured.task}:{measured.metric}")}
    for name in primary:
        if name not in names:
            near = get_close_matches(name, sorted(names), 3, 0.4)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UsageError(f"--primary {name}: neither evaluation has this task{hint}")


def _is_primary(measured: Measured, primary: tuple[str, ...]) -> bool:
    return measured.task in primary or f"{measured.task}:{measured.metric}" in primary


def _direction(measured: Measured, better: dict[tuple[str, str], bool]) -> bool | None:
    """Whether a higher score is better, as the files or the metric's name say."""
    known = better.get((measured.task, measured.metric))
    if known is not None:
        return known
    name = measured.metric.rpartition("/")[2]
    return True if name in _HIGHER_IS_BETTER else False if name in _LOWER_IS_BETTER else None


def _paired_row(pairs: Pairs) -> dict[str, Any]:
    difference = paired_difference(pairs)
    if difference.lacking and pairs.versions:
        difference = _because(difference, f"incomparable: {pairs.versions[0]} against {pairs.versions[1]}")
    elif difference.lacking and pairs.other_prompt > len(pairs.before):
        difference = _because(difference, f"incomparable: {pairs.other_prompt} items have another prompt")
    return {
        "difference_of": difference,
        "only_a": pairs.only_a,
        "only_b": pairs.only_b,
        "other_prompt": pairs.other_prompt,
        "other_version": pairs.other_version,
        "epochs_a": pairs.answers[0],
        "epochs_b": pairs.answers[1],
    }


def _because(difference: Difference, why: str) -> Difference:
    nan = float("nan")
    return replace(difference, low=nan, high=nan, error=nan, p=nan, mde=nan, method="", lacking=why)


def _lone_row(a: Scores | None, b: Scores | None) -> dict[str, Any]:
    nan = float("nan")
    side, have = ("a", a) if a is not None else ("b", b)
    items = 0 if have is None else len(have.keys)
    lacking = f"only {side} has items of it"
    score_a, score_b = (float(part.score.mean()) if part is not None else nan for part in (a, b))
    none = Difference(0, 0, score_a, score_b, nan, nan, nan, nan, nan, nan, "", lacking)
    return {"difference_of": none, f"only_{side}": items}


def _judged(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows with adjusted p and readings, primary ones first, with the schema `EVALUATION_DIFFERENCES`."""
    p = np.array([row["difference_of"].p for row in rows])
    q = np.full(len(rows), np.nan)
    first = np.array([row["family"] == "primary" for row in rows])
    q[first], q[~first] = holm(p[first]), benjamini_hochberg(p[~first])
    for row, adjusted in zip(rows, q, strict=True):
        difference: Difference = row.pop("difference_of")
        kind, words = reading(difference, float(adjusted), row["higher_is_better"])
        row |= {
            "items": difference.items,
            "clusters": difference.clusters,
            "score_a": difference.score_a,
            "score_b": difference.score_b,
            "difference": difference.value,
            "low": difference.low,
            "high": difference.high,
            "error": difference.error,
            "p": difference.p,
            "q": float(adjusted),
            "mde": difference.mde,
            "method": difference.method,
            "reading": kind,
            "reason": words,
        }
    rows.sort(key=lambda row: (row["family"] != "primary", row["task"], row["metric"], row["filter"]))
    return table_of("evaluation_differences", rows)


def _leaks(
    pairs: dict[Measured, Pairs],
    contaminated: ContaminatedItems,
    placebo: dict[Measured, Scores],
    scores_a: dict[Measured, Scores],
) -> pa.Table:
    rows = [
        leak_row(
            measured,
            paired,
            contaminated,
            pair(placebo[measured], scores_a[measured]) if measured in placebo else None,
        )
        for measured, paired in pairs.items()
    ]
    q = benjamini_hochberg([row.get("p", float("nan")) for row in rows])
    for row, adjusted in zip(rows, q, strict=True):
        row["q"] = float(adjusted)
        lacking = row.pop("lacking")
        if lacking:
            row |= {"reading": "not enough data", "reason": lacking}
        elif adjusted <= 1 - LEVEL:
            share = f"{row['leak']:+.4g} of {row['gain']:+.4g}"
            words = f"contaminated items account for {share} (95 %: {row['low']:+.4g} to {row['high']:+.4g})"
            row |= {"reading": "shown", "reason": words}
        else:
            most = max(abs(row["low"]), abs(row["high"]))
            row |= {"reading": "not shown", "reason": f"at most {most:.4g} in either direction (95 %)"}
        if row.get("at_ceiling", 0) >= 0.5:
            row["reason"] += f"; a has {row['at_ceiling']:.0%} of the contaminated items at the highest score already"
    return table_of("evaluation_leaks", rows)


def _read_tables(sides: list[tuple[str, Side]], scores: dict[str, dict[Measured, Scores]]) -> dict[str, pa.Table]:
    """What was read of every side: files, dead letters, remarks and claims."""
    files, dead, remarks, claims = [], [], [], []
    for letter, side in sides:
        evaluation = side.evaluation
        for outcome in evaluation.files:
            counts = ("file", "format", "rows", "items", "dead_letters", "claims")
            row = {name: getattr(outcome, name) for name in counts}
            files.append(row | {"side": letter, "bytes": outcome.size, "reason": outcome.reason})
        for one in evaluation.dead_letters:
            dead.append({name: getattr(one, name) for name in ("file", "row", "reason", "detail")} | {"side": letter})
        remarks += [{"side": letter, "file": r.file, "what": r.what, "remark": r.text} for r in evaluation.remarks]
        for measured, of_measure in scores.get(letter, {}).items():
            if of_measure.shared:
                text = f"{of_measure.shared:,} items of {measured.task} ({measured.metric}) are in several files"
                remark = f"{text}; their scores are averaged, as if the item were answered again"
                remarks.append({"side": letter, "file": "", "what": "several files", "remark": remark})
        claims.append(claims_table(evaluation, letter))
    return {
        "evaluation_files": table_of("evaluation_files", files),
        "evaluation_dead_letters": table_of("evaluation_dead_letters", dead),
        "evaluation_remarks": table_of("evaluation_remarks", remarks),
        "evaluation_claims": pa.concat_tables(claims),
    }


def table_of(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of `COMPARISON_TABLES`; a column that may be null has null for NaN and for what is missing."""
    schema = COMPARISON_TABLES[name]
    columns = []
    for column in schema:
        values = [row.get(column.name) for row in rows]
        columns.append(pa.array([None if value != value else value for value in values], column.type))
    return pa.Table.from_arrays(columns, schema=schema)


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
