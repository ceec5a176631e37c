"""What is wrong or doubtful in a policy that is valid in itself: unknown metrics, slices that no run has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from difflib import get_close_matches

import pyarrow as pa

from corpus_audit.checks.policy.basis import Judging
from corpus_audit.checks.policy.judge import rows_by_slice
from corpus_audit.checks.policy.metric_catalogue import KNOWN
from corpus_audit.schemas.spec.policy import Rule
from corpus_audit.schemas.spec.policy_file import LoadedPolicy
from corpus_audit.schemas.spec.slices import Pattern, parts
from corpus_audit.schemas.tables.metric_declarations import SLICE_EXAMPLES, SLICE_KEYS, MetricDeclaration
from corpus_audit.schemas.yaml.structure import located
from corpus_audit.schemas.yaml.yaml_tree import Mark, Problem


def mistakes(policy: LoadedPolicy) -> list[Problem]:
    """Metrics that no run can have; their rules would always be ``missing``."""
    problems = []
    for number, rule in enumerate(policy.policy.rules):
        if rule.metric not in KNOWN:
            near = get_close_matches(rule.metric, list(KNOWN), 1)
            hint = f"did you mean {near[0]!r}?" if near else "'corpus-audit policy explain metrics' lists all"
            problems.append(Problem(_mark(policy, number, "metric"), f"there is no metric {rule.metric!r} ({hint})"))
    return problems


def doubts(policy: LoadedPolicy, today: date, metrics: pa.Table | None = None) -> list[Problem]:
    """What will not judge as its author may think: rules that cannot pass, waivers that are no longer in force.

    Args:
        policy: one without `mistakes`.
        today: the day on which waivers have to be in force.
        metrics: figures of a run that should have a slice for every rule.
    """
    problems = []
    names = {rule.metric for rule in policy.policy.rules}
    slices = None if metrics is None else rows_by_slice(metrics, names)
    for number, rule in enumerate(policy.policy.rules):
        metric = KNOWN[rule.metric]
        problems += [Problem(_mark(policy, number, "slice"), text) for text in _slice_doubts(rule, metric)]
        if metric.bounds == "none" and Judging().figure(rule)[0] != "value":
            text = f"{rule.metric} has no interval: judged {rule.judged}, the rule never passes; say judged: value"
            problems.append(Problem(_mark(policy, number, "judged"), text))
        if slices is not None and not Pattern(rule.slice).among(slices.get(rule.metric, {})):
            text = f"the run has no slice {rule.slice!r} of {rule.metric}: the rule would be missing"
            problems.append(Problem(_mark(policy, number, "slice"), text))
    for waiver, line in zip(policy.policy.waivers, policy.waiver_lines, strict=True):
        if today > date.fromisoformat(waiver.expires):
            mark = Mark(0, line, 1, policy.tree.mark.source)
            problems.append(Problem(mark, f"waiver {waiver.id} expired on {waiver.expires}"))
    return sorted(problems)


def changed_meaning(policy: LoadedPolicy) -> list[Problem]:
    """Rules that judge otherwise than in results of version 1, which judged the interval if they did not say how."""
    judging = Judging()
    problems = []
    for number, rule in enumerate(policy.policy.rules):
        metric = KNOWN.get(rule.metric)
        if rule.judged == "auto" and metric and metric.bounds == "interval" and judging.figure(rule)[0] == "value":
            text = f"{rule.id}: the run was judged by the interval, by an earlier release; the value is judged now"
            problems.append(Problem(_mark(policy, number, "id"), f"{text}. 'judged: interval' restores that"))
    return problems


def _slice_doubts(rule: Rule, metric: MetricDeclaration) -> Iterator[str]:
    keys = tuple(key for key, _ in parts(rule.slice))
    fitting = SLICE_KEYS.get(metric.slices)
    # Facets have the names that audits give them.
    wrong = keys == ("all",) if fitting is None else keys not in fitting
    if wrong and rule.slice != "*":
        yield f"slices of {rule.metric} look like {SLICE_EXAMPLES[metric.slices]}: {rule.slice!r} will name none"


def _mark(policy: LoadedPolicy, rule: int, key: str) -> Mark:
    return located(policy.tree, ("rules", rule, key))
