"""Evaluations of an investigation: which are compared, what their differences say, and their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.checks.investigation.comparison_findings import comparison_findings
from corpus_audit.checks.investigation.evaluations.about import About
from corpus_audit.checks.investigation.evaluations.behaviour_findings import behaviour_findings
from corpus_audit.checks.investigation.evaluations.run_noise import ComparedSteps, seed_noise, with_run_noise
from corpus_audit.checks.text.numbers import grouped
from corpus_audit.pipelines.evaluations.behaviour.compare import with_behaviour
from corpus_audit.pipelines.evaluations.behaviour.safety import safety_rules
from corpus_audit.pipelines.evaluations.comparison import Comparison, Side, compare_all, scores_of_side
from corpus_audit.pipelines.evaluations.contaminated import ContaminatedItems
from corpus_audit.pipelines.evaluations.grouping import Measured
from corpus_audit.pipelines.evaluations.records.items import Evaluation
from corpus_audit.pipelines.evaluations.wording import OptionNames
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.findings import Explanation, Finding, FindingWindow, State
from corpus_audit.schemas.spec.investigation import InvestigationSpec, StepEvaluation
from corpus_audit.schemas.tables.investigation.evaluation_tables import INVESTIGATION_EVALUATION_TABLES

KEYS = OptionNames("primary", "cluster", "contamination", "rule under contamination", "model in evals")
"""What messages name: keys of the spec in place of options."""

_SHARED = "Consecutive differences of one run share an evaluation, so that chance in it moves both in opposite ways"


@dataclass(frozen=True, slots=True)
class StepComparison:
    """Two evaluations that were compared: consecutive steps of a run, or the last steps of two runs."""

    a: StepEvaluation
    b: StepEvaluation
    result: Comparison

    @property
    def same_run(self) -> bool:
        """Whether both are of one run."""
        return self.a.run == self.b.run


def pairs_of(evals: Sequence[StepEvaluation]) -> list[tuple[StepEvaluation, StepEvaluation]]:
    """(a, b) of what is compared: every step of a run with the one before, then the last steps of every two runs."""
    by_run: dict[str, list[StepEvaluation]] = {}
    for each in evals:
        by_run.setdefault(each.run, []).append(each)
    steps = [sorted(listed, key=lambda each: each.step) for listed in by_run.values()]
    return [pair for listed in steps for pair in pairwise(listed)] + list(combinations(last_of_runs(evals), 2))


def compare_steps(
    spec: InvestigationSpec, evaluations: Sequence[Evaluation], contaminated: ContaminatedItems | None
) -> tuple[StepComparison, ...]:
    """Compare the evaluations of a spec.

    Args:
        spec: whose ``evals`` were read.
        evaluations: in the order of ``evals``.
        contaminated: which items are contaminated, if that is known.

    Raises:
        UsageError: see `compare_all`.
    """
    read = {(each.run, each.step): evaluation for each, evaluation in zip(spec.evals, evaluations, strict=True)}
    pairs = pairs_of(spec.evals)
    sides = []
    for pair in pairs:
        same = pair[0].run == pair[1].run
        a, b = (Side(read[each.run, each.step], each.model, _short(each, same)) for each in pair)
        sides.append((a, b))
    placebos = [_earlier(spec, read, a) if a.run == b.run else None for a, b in pairs]
    results = compare_all(sides, spec.primary, contaminated, placebos if contaminated is not None else (), KEYS)
    stated = {} if spec.safety is None else {"refusal": spec.safety.refusal, "harm": spec.safety.harm}
    results = with_behaviour(sides, results, safety_rules(stated), KEYS)
    results = _with_run_noise(pairs, results, _seeds(spec, read))
    return tuple(StepComparison(a, b, result) for (a, b), result in zip(pairs, results, strict=True))


def _earlier(spec: InvestigationSpec, read: Mapping[tuple[str, int], Evaluation], a: StepEvaluation) -> Side | None:
    """The evaluation of the same run before ``a``: what contaminated items gained in the change before."""
    before = [each for each in spec.evals if each.run == a.run and each.step < a.step]
    last = max(before, key=lambda each: each.step, default=None)
    return None if last is None else Side(read[last.run, last.step], last.model, _short(last, True))


def last_of_runs(evals: Sequence[StepEvaluation]) -> list[StepEvaluation]:
    """The evaluation of the last step of every run, in the order of the runs."""
    last: dict[str, StepEvaluation] = {}
    for each in evals:
        if each.run not in last or each.step > last[each.run].step:
            last[each.run] = each
    return list(last.values())


def _with_run_noise(
    pairs: Sequence[tuple[StepEvaluation, StepEvaluation]],
    results: Sequence[Comparison],
    seeds: Mapping[Measured, tuple[float, float]],
) -> list[Comparison]:
    """The comparisons with the noise between neighbouring checkpoints and of seeds in their differences."""
    name = "evaluation_differences"
    compared = [
        ComparedSteps((a.run, a.step), (b.run, b.step), result.tables[name])
        for (a, b), result in zip(pairs, results, strict=True)
    ]
    tables = with_run_noise(compared, seeds)
    return [replace(each, tables=each.tables | {name: table}) for each, table in zip(results, tables, strict=True)]


def _seeds(spec: InvestigationSpec, read: Mapping[tuple[str, int], Evaluation]) -> dict[Measured, tuple[float, float]]:
    """The noise of seeds, from the last step at which all runs of ``seeds`` were evaluated.

    Raises:
        UsageError: there is no such step.
    """
    if not spec.seeds:
        return {}
    by_run = {run: {each.step: each for each in spec.evals if each.run == run} for run in spec.seeds}
    common = set.intersection(*(set(steps) for steps in by_run.values()))
    if not common:
        raise UsageError(f"seeds: there is no step at which all of {', '.join(spec.seeds)} were evaluated")
    step = max(common)
    sides = [Side(read[run, step], by_run[run][step].model) for run in spec.seeds]
    return seed_noise([scores_of_side(side, KEYS.model) for side in sides])


def evaluation_findings(comparisons: Sequence[StepComparison]) -> list[Finding]:
    """A finding for every task of every comparison: ``now.evals.34000.TASK:METRIC``, ``twin.evals.against.now.…``.

    Those about agents, refusals, harm and repeated passes follow: ``now.evals.34000.usage.TASK:cost``.
    """
    findings: list[Finding] = []
    for each in comparisons:
        about = _about(each)
        findings += comparison_findings(each.result.tables, about)
        findings += behaviour_findings(each.result.tables, about)
    return findings


def evaluation_tables(comparisons: Sequence[StepComparison]) -> Iterator[tuple[str, pa.Table]]:
    """(name, table) with the schemas `INVESTIGATION_EVALUATION_TABLES`; tables that no comparison has are left out.

    Rows of an evaluation that is in several comparisons are those of the first.
    """
    for name, schema in INVESTIGATION_EVALUATION_TABLES.items():
        pieces = []
        seen: set[tuple[str, int]] = set()
        for each in comparisons:
            table = each.result.tables.get(name)
            if table is None:
                continue
            if "side" not in table.column_names:
                cells: dict[str, str | int] = {"run_a": each.a.run, "step_a": each.a.step}
                cells |= {"run_b": each.b.run, "step_b": each.b.step}
                pieces.append(_with(table, cells, schema))
                continue
            for letter, side in (("a", each.a), ("b", each.b)):
                if (side.run, side.step) not in seen:
                    seen.add((side.run, side.step))
                    own = table.filter(pc.equal(table["side"], letter)).drop_columns("side")
                    pieces.append(_with(own, {"run": side.run, "step": side.step}, schema))
        if pieces:
            yield name, pa.concat_tables(pieces)


def _with(table: pa.Table, cells: Mapping[str, str | int], schema: pa.Schema) -> pa.Table:
    """A table with constant columns before its own."""
    columns = [pa.array([value] * table.num_rows, schema.field(name).type) for name, value in cells.items()]
    return pa.Table.from_arrays([*columns, *table.columns], schema=schema)


def _short(evaluation: StepEvaluation, same_run: bool) -> str:
    return f"step {grouped(evaluation.step)}" if same_run else evaluation.run


def _about(each: StepComparison) -> About:
    a, b = each.a, each.b
    name_a, name_b = (f"{side.run} at step {grouped(side.step)}" for side in (a, b))
    if each.same_run:
        window = FindingWindow(run=b.run, first=a.step, last=b.step)
        prefix = f"{b.run}.evals.{b.step}"
        return About(prefix, name_a, name_b, KEYS, window, limits=(_SHARED,), of_runs=True)
    prefix = f"{b.run}.evals.against.{a.run}"
    if not a.step and not b.step:
        return About(prefix, a.run, b.run, KEYS)
    figure = f"step {grouped(b.step)} of {b.run}, step {grouped(a.step)} of {a.run}"
    state = State.RULED_OUT if a.step == b.step else State.NOT_RULED_OUT
    steps = Explanation(what="the runs are compared at different steps", state=state, figure=figure)
    return About(prefix, name_a, name_b, KEYS, explanations=(steps,), of_runs=True)
