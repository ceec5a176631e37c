"""Findings about runs that should have drawn the same batches at the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from corpus_audit.checks.investigation.log_findings import not_enough
from corpus_audit.checks.investigation.run_analysis import RunAnalysis
from corpus_audit.pipelines.statistics.telemetry.twins import LEAST_STEPS, SAME_ORDER, TwinComparison, compare_twins
from corpus_audit.schemas.run.findings import Effect, Finding, Reading


@dataclass(frozen=True, slots=True)
class Twin:
    """Another run that should have the same order of the data; ``threshold`` is that of the run's spikes."""

    other: RunAnalysis
    comparison: TwinComparison | None
    threshold: float


def twins_of(runs: Mapping[str, RunAnalysis]) -> dict[str, list[Twin]]:
    """The twins of every run: ``same_order_as`` holds in both directions."""
    twins: dict[str, list[Twin]] = {name: [] for name in runs}
    for name, run in runs.items():
        if run.spec.same_order_as is not None:
            other = runs[run.spec.same_order_as]
            twins[name].append(Twin(other, _compared(run, other), run.threshold))
            twins[other.spec.id].append(Twin(run, _compared(other, run), other.threshold))
    return twins


def _compared(run: RunAnalysis, other: RunAnalysis) -> TwinComparison | None:
    if run.loss is None or other.loss is None or run.scores is None or other.scores is None:
        return None
    return compare_twins(run.loss.step, run.loss.value, run.scores, other.loss.step, other.loss.value, other.scores)


def twin_findings(run: RunAnalysis, twins: list[Twin]) -> list[Finding]:
    """Whether a run and the one that its spec names did draw the same batches."""
    if run.spec.same_order_as is None:
        return []
    twin = next(twin for twin in twins if twin.other.spec.id == run.spec.same_order_as)
    question = f"Did {run.spec.id} and {twin.other.spec.id} draw the same batches at the same steps?"
    comparison = twin.comparison
    if comparison is None:
        why = f"fewer than {LEAST_STEPS} steps in common, without spikes and after the first tenth"
        return [not_enough(run, "twin", question, why)]
    same = comparison.low > SAME_ORDER
    return [
        Finding(
            id=f"{run.spec.id}.twin",
            bucket="training",
            question=question,
            claim=(
                f"the losses of {run.spec.id} and {twin.other.spec.id} move together, as those of runs with the same "
                f"batches do: {comparison.correlation**2:.0%} of the variation from step to step is common"
                if same
                else f"the losses of {run.spec.id} and {twin.other.spec.id} do not move together as those of twins do"
            ),
            reading=Reading.SHOWN if same else Reading.NOT_SHOWN,
            detail="" if same else f"at most {comparison.high:.3f}; twins are taken to be from {SAME_ORDER} on",
            effect=Effect(value=comparison.correlation, unit="correlation", low=comparison.low, high=comparison.high),
            n=comparison.steps,
            excluded={"spikes and values that are not numbers": comparison.left_out},
            test="correlation of deviations from the local medians, after the first tenth of the steps",
            limits=("that the order is the same is inferred from the correlation",),
        )
    ]
