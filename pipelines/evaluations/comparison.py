"""Compares two evaluations task by task: tables of differences, leaks, claims and of everything that was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.evaluations.contaminated import ContaminatedItems, leak_row
from corpus_audit.pipelines.evaluations.difference import Difference, aggregate_difference, paired_difference
from corpus_audit.pipelines.evaluations.grouping import Measured, Scores, ScoresByMeasure, of_model
from corpus_audit.pipelines.evaluations.pairing import Pairs, pair
from corpus_audit.pipelines.evaluations.rates import score_row
from corpus_audit.pipelines.evaluations.read_tables import read_tables, table_of
from corpus_audit.pipelines.evaluations.records.items import Claim, Evaluation
from corpus_audit.pipelines.evaluations.repeats import Repeats
from corpus_audit.pipelines.evaluations.wording import reading, sentence
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
    remarks = _without_cluster(a, b)
    better = {**a.evaluation.higher_is_better, **b.evaluation.higher_is_better}
    before = None if placebo is None else _scores(placebo, "placebo")
    rows, leaks, alone, repeats = [], [], [], Repeats()
    for measured in measures:
        row = dict(measured._asdict()) | {"family": "primary" if _is_primary(measured, primary) else "other"}
        row |= dict.fromkeys(("only_a", "only_b", "other_prompt", "other_version", "unknown_prompt"), 0)
        row["higher_is_better"] = _direction(measured, better)
        of_a = scores_a.get(measured)
        of_b = scores_b.get(measured)
        for letter, scores in (("a", of_a), ("b", of_b)):
            if scores is not None:
                alone.append(score_row(letter, measured, scores))
                repeats.add(letter, measured, scores)
                remarks += _shared(letter, measured, scores)
        if of_a is not None and of_b is not None:
            pairs = pair(of_a, of_b)
            rows.append(row | _paired_row(pairs))
            if contaminated is not None:
                earlier = pair(before[measured], of_a) if before is not None and measured in before else None
                leaks.append(leak_row(measured, pairs, contaminated, earlier))
        elif measured in claims_a and measured in claims_b:
            rows.append(row | {"difference_of": _of_claims(claims_a[measured], claims_b[measured])})
        else:
            rows.append(row | _lone_row(of_a, of_b))
    differences = _judged(rows)
    tables = {"evaluation_differences": differences}
    if contaminated is not None:
        tables["evaluation_leaks"] = _leaks(leaks)
    sides = [("a", a), ("b", b)] + ([] if placebo is None else [("placebo", placebo)])
    alone.sort(key=lambda row: (row["side"], row["task"], row["metric"], row["filter"]))
    tables["evaluation_scores"] = table_of("evaluation_scores", alone)
    tables |= repeats.tables() | read_tables([(letter, side.evaluation) for letter, side in sides], remarks)
    return Comparison({name: tables[name] for name in COMPARISON_TABLES if name in tables}, sentence(differences))


def _scores(side: Side, letter: str) -> ScoresByMeasure:
    option = f"--model-{letter}"
    return ScoresByMeasure(of_model(side.evaluation.items, side.model, option, side.evaluation.name))


def _shared(letter: str, measured: Measured, scores: Scores) -> list[dict[str, Any]]:
    """A remark on items that are in several files, if there are any."""
    if not scores.shared:
        return []
    text = f"{scores.shared:,} items of {measured.task} ({measured.metric}) are in several files"
    remark = f"{text}; their scores are averaged, as if the item were answered again"
    return [{"side": letter, "file": "", "what": "several files", "remark": remark}]


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


def _without_cluster(a: Side, b: Side) -> list[dict[str, Any]]:
    """Remarks on items without a value of the cluster field.

    Raises:
        UsageError: no item has the field.
    """
    field = a.evaluation.cluster_field
    sides = (("a", a), ("b", b))
    rows = {letter: side.evaluation.items.num_rows for letter, side in sides}
    without = {letter: side.evaluation.items["cluster"].null_count for letter, side in sides}
    if field is None or not sum(rows.values()):
        return []
    if without == rows:
        raise UsageError(f"no item has the field {field!r} that --cluster names")
    return [
        {
            "side": letter,
            "file": "",
            "what": "items without cluster",
            "remark": f"{without[letter]:,} of {rows[letter]:,} scores have no {field}: each is a cluster of its own, "
            "unless the other evaluation has it",
        }
        for letter, _ in sides
        if without[letter]
    ]


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
        difference = _because(difference, f"incomparable: {pairs.other_prompt:,} items have another prompt")
    return {
        "difference_of": difference,
        "only_a": pairs.only_a,
        "only_b": pairs.only_b,
        "other_prompt": pairs.other_prompt,
        "other_version": pairs.other_version,
        "unknown_prompt": pairs.unknown_prompt,
        "epochs_a": pairs.answers[0],
        "epochs_b": pairs.answers[1],
    }


def _because(difference: Difference, why: str) -> Difference:
    nan = float("nan")
    return replace(difference, low=nan, high=nan, error=nan, p=nan, mde=nan, method="", lacking=why)


def _lone_row(a: Scores | None, b: Scores | None) -> dict[str, Any]:
    nan = float("nan")
    side, have = ("a", a) if a is not None else ("b", b)
    score_a, score_b = (nan if scores is None else float(scores.score.mean()) for scores in (a, b))
    none = Difference(0, 0, score_a, score_b, nan, nan, nan, nan, nan, nan, "", f"only {side} has items of it")
    return {"difference_of": none, f"only_{side}": 0 if have is None else len(have.keys)}


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


def _leaks(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows with adjusted p and readings, with the schema `EVALUATION_LEAKS`."""
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
            row["reason"] += (
                f"; a has {100 * row['at_ceiling']:.0f} % of the contaminated items at the highest score already"
            )
    return table_of("evaluation_leaks", rows)
