"""Compares two evaluations task by task: tables of differences, leaks, claims and of everything that was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import pyarrow as pa

from corpus_audit.pipelines.evaluations.contaminated import ContaminatedItems, leak_row
from corpus_audit.pipelines.evaluations.difference import Difference, aggregate_difference, paired_difference
from corpus_audit.pipelines.evaluations.grouping import Measured, Scores, ScoresByMeasure, of_model
from corpus_audit.pipelines.evaluations.incomparable import other_measure, other_version
from corpus_audit.pipelines.evaluations.judging import adjust, differences_table, leaks_table
from corpus_audit.pipelines.evaluations.pairing import Pairs, pair
from corpus_audit.pipelines.evaluations.rates import score_row
from corpus_audit.pipelines.evaluations.read_tables import read_tables, table_of
from corpus_audit.pipelines.evaluations.records.items import Claim, Evaluation
from corpus_audit.pipelines.evaluations.repeats import Repeats
from corpus_audit.pipelines.evaluations.wording import OptionNames, sentence
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
    """One evaluation of a comparison, the model that is compared, and what readings call it if not a or b."""

    evaluation: Evaluation
    model: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Compared:
    """A comparison whose p are not adjusted yet."""

    names: tuple[str, str]
    measures: list[Measured]
    rows: list[dict[str, Any]]
    leaks: list[dict[str, Any]]
    tables: dict[str, pa.Table]


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
    return compare_all([(a, b)], primary, contaminated, [placebo])[0]


def compare_all(
    pairs: Sequence[tuple[Side, Side]],
    primary: tuple[str, ...] = (),
    contaminated: ContaminatedItems | None = None,
    placebos: Sequence[Side | None] = (),
    options: OptionNames | None = None,
) -> list[Comparison]:
    """Compare evaluations in pairs, as `compare` does one; p is adjusted over the tests of all pairs together.

    Args:
        pairs: (a, b) of every comparison.
        primary, contaminated: as in `compare`, of all pairs.
        placebos: as in `compare`, of every pair; none by default.
        options: how messages name what the user set.

    Raises:
        UsageError: as `compare`; a primary task is in no evaluation.
    """
    known = options or OptionNames()
    compared = [
        _compared(a, b, primary, contaminated, placebo, known)
        for (a, b), placebo in zip(pairs, placebos or [None] * len(pairs), strict=True)
    ]
    _check_primary(primary, {measured for each in compared for measured in each.measures}, known.primary)
    adjust([row for each in compared for row in each.rows], [row for each in compared for row in each.leaks])
    results = []
    for each in compared:
        differences = differences_table(each.rows, each.names)
        tables = {"evaluation_differences": differences} | each.tables
        if contaminated is not None:
            tables["evaluation_leaks"] = leaks_table(each.leaks, each.names[0])
        ordered = {name: tables[name] for name in COMPARISON_TABLES if name in tables}
        results.append(Comparison(ordered, sentence(differences)))
    return results


def _compared(
    a: Side,
    b: Side,
    primary: tuple[str, ...],
    contaminated: ContaminatedItems | None,
    placebo: Side | None,
    options: OptionNames,
) -> _Compared:
    names = (a.name or "a", b.name or "b")
    scores_a, scores_b = (scores_of_side(side, options.model.format(letter)) for side, letter in ((a, "a"), (b, "b")))
    claims_a, claims_b = (_claims(side) for side in (a, b))
    measures = sorted(scores_a.keys() | scores_b.keys() | (claims_a.keys() & claims_b.keys()))
    if not measures:
        raise UsageError("neither evaluation holds scores of items, and they have no figure in common")
    remarks = _without_cluster(a, b, options.cluster)
    better = {**a.evaluation.higher_is_better, **b.evaluation.higher_is_better}
    before = None if placebo is None else scores_of_side(placebo, options.model.format("placebo"))
    rows, leaks, alone, repeats = [], [], [], Repeats()
    for measured in measures:
        row = dict(measured._asdict()) | {"family": "primary" if _is_primary(measured, primary) else "other"}
        row |= dict.fromkeys(("only_a", "only_b", "other_prompt", "other_version", "unknown_prompt"), 0)
        row["higher_is_better"] = direction(measured, better)
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
            difference = _of_claims(claims_a[measured], claims_b[measured], names)
            rows.append(row | {"difference_of": difference} | _incomparable(difference))
        else:
            rows.append(row | _lone_row(measured, (scores_a, scores_b), names))
    sides = [("a", a), ("b", b)] + ([] if placebo is None else [("placebo", placebo)])
    alone.sort(key=lambda row: (row["side"], row["task"], row["metric"], row["filter"]))
    tables = {"evaluation_scores": table_of("evaluation_scores", alone)} | repeats.tables()
    tables |= read_tables([(letter, side.evaluation) for letter, side in sides], remarks)
    return _Compared(names, measures, rows, leaks, tables)


def scores_of_side(side: Side, option: str) -> ScoresByMeasure:
    """Scores of the model of a side by measure; ``option`` names the model in messages.

    Raises:
        UsageError: as `of_model` and `ScoresByMeasure`.
    """
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


def _of_claims(a: list[Claim], b: list[Claim], names: tuple[str, str]) -> Difference:
    """The difference of what files state; there is none if the files of one evaluation state different values."""
    difference = aggregate_difference(a[0], b[0])
    for name, claims in zip(names, (a, b), strict=True):
        if len({claim.value for claim in claims}) > 1:
            difference = _because(difference, f"{len(claims)} files of {name} state different values: name one of them")
    return difference


def _without_cluster(a: Side, b: Side, option: str) -> list[dict[str, Any]]:
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
        raise UsageError(f"no item has the field {field!r} that {option} names")
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


def _check_primary(primary: tuple[str, ...], measures: Iterable[Measured], option: str) -> None:
    names = {name for measured in measures for name in (measured.task, f"{measured.task}:{measured.metric}")}
    for name in primary:
        if name not in names:
            near = get_close_matches(name, sorted(names), 3, 0.4)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UsageError(f"{option} {name}: no evaluation has this task{hint}")


def _is_primary(measured: Measured, primary: tuple[str, ...]) -> bool:
    return measured.task in primary or f"{measured.task}:{measured.metric}" in primary


def direction(measured: Measured, better: Mapping[tuple[str, str], bool]) -> bool | None:
    """Whether a higher score is better, as the files or the metric's name say."""
    known = better.get((measured.task, measured.metric))
    if known is not None:
        return known
    name = measured.metric.rpartition("/")[2]
    return True if name in _HIGHER_IS_BETTER else False if name in _LOWER_IS_BETTER else None


def _paired_row(pairs: Pairs) -> dict[str, Any]:
    difference = paired_difference(pairs)
    named = [] if pairs.versions is None else [other_version(*pairs.versions)]
    named += ["another prompt"] if pairs.other_prompt else []
    if difference.lacking and pairs.versions:
        difference = _because(difference, f"incomparable: {named[0]}")
    elif difference.lacking and pairs.other_prompt > len(pairs.before):
        difference = _because(difference, f"incomparable: {pairs.other_prompt:,} items have another prompt")
    return {
        "difference_of": difference,
        "only_a": pairs.only_a,
        "only_b": pairs.only_b,
        "other_prompt": pairs.other_prompt,
        "other_version": pairs.other_version,
        "unknown_prompt": pairs.unknown_prompt,
        "incomparable": "; ".join(named) or None,
        "epochs_a": pairs.answers[0],
        "epochs_b": pairs.answers[1],
    }


def _incomparable(difference: Difference) -> dict[str, Any]:
    """What makes aggregates incomparable, if anything does."""
    mark = "incomparable: "
    return {"incomparable": difference.lacking.removeprefix(mark)} if difference.lacking.startswith(mark) else {}


def _because(difference: Difference, why: str) -> Difference:
    nan = float("nan")
    return replace(difference, low=nan, high=nan, error=nan, p=nan, mde=nan, method="", lacking=why)


def _lone_row(
    measured: Measured, sides: tuple[Mapping[Measured, Scores], Mapping[Measured, Scores]], names: tuple[str, str]
) -> dict[str, Any]:
    """A row for what only one evaluation has; where the two share nothing of the task, it says what they have."""
    nan = float("nan")
    mine = 0 if measured in sides[0] else 1 if measured in sides[1] else None
    lacking = f"only {names[1 if mine is None else mine]} has items of it"
    other = None
    means = {0: nan, 1: nan}
    row: dict[str, Any] = {}
    if mine is not None:
        have = sides[mine][measured]
        means[mine] = float(have.score.mean())
        row[f"only_{'ab'[mine]}"] = len(have.keys)
        of_task = [{each for each in side if each.task == measured.task} for side in sides]
        if not of_task[0] & of_task[1]:
            other = other_measure(measured, names[mine], names[1 - mine], of_task[1 - mine])
    if other is not None:
        lacking = f"incomparable: {other}"
    none = Difference(0, 0, means[0], means[1], nan, nan, nan, nan, nan, nan, "", lacking)
    return row | {"difference_of": none, "incomparable": other}
