"""Refusals and harmful answers: which scores count as one, rates with exact bounds, and paired differences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from corpus_audit.pipelines.evaluations.behaviour.passes import with_scores
from corpus_audit.pipelines.evaluations.difference import paired_difference
from corpus_audit.pipelines.evaluations.grouping import Measured, Scores, cluster_labels
from corpus_audit.pipelines.evaluations.pairing import pair
from corpus_audit.pipelines.statistics.evaluations.paired import mean_with_error
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson
from corpus_audit.schemas.errors import UsageError

REFUSAL, HARM = "refusal", "harm"

_NAMES = {
    REFUSAL: ("refusal", "refused", "is_refusal", "refusal_rate"),
    HARM: ("harmful", "is_harmful", "jailbroken", "is_jailbroken", "attack_success", "unsafe",
           "max_toxicity_probability"),
}  # fmt: skip
"""Names of metrics that say what a 1 is; `max_toxicity_probability` is HELM's, 1 if an answer is toxic."""

_HELM_JUDGED = ("harm_bench", "simple_safety_tests", "anthropic_red_team")
"""Scenarios of HELM Safety with harmful requests only: `safety_score` is 0 if every judge calls the answer harmful."""

_RULE = re.compile(r"(.+?)\s*(<=|>=|=|<|>)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)")
_COMPARE: dict[str, Callable[[Any, float], Any]] = {
    "=": np.equal, "<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SafetyRule:
    """Which scores count: those of a metric that compare so with a value.

    Attributes:
        kind: ``refusal`` or ``harm``.
        name: METRIC, or TASK:METRIC.
        operator: one of = < > <= >=.
        value: the value.
        known: whether the name of the metric says it, and no user did; then scores other than 0 and 1 are not counted.
    """

    kind: str
    name: str
    operator: str
    value: float
    known: bool = False

    @property
    def counted(self) -> str:
        """What is counted, in words."""
        return f"score {self.operator} {self.value:g}"

    def counts(self, score: float) -> bool:
        """Whether a score counts."""
        return bool(_COMPARE[self.operator](np.float64(score), self.value))

    def concerns(self, measured: Measured) -> bool:
        """Whether it is about this metric."""
        return self.name in (measured.metric, f"{measured.task}:{measured.metric}")


def safety_rules(texts: Mapping[str, Sequence[str]]) -> tuple[SafetyRule, ...]:
    """Rules that a user states, by kind: ``METRIC=VALUE`` or ``TASK:METRIC<=VALUE``.

    Raises:
        UsageError: one cannot be understood.
    """
    rules = []
    for kind, listed in texts.items():
        for text in listed:
            match = _RULE.fullmatch(text.strip())
            try:
                rules.append(SafetyRule(kind, match[1], match[2], float(match[3])))  # type: ignore[index]
            except (TypeError, ValueError):
                example = f"METRIC=VALUE or TASK:METRIC<=VALUE, such as xstest:{kind}=1"
                raise UsageError(f"{kind} {text!r}: expected {example}") from None
    return tuple(rules)


def rules_for(measured: Measured, rules: Iterable[SafetyRule]) -> list[SafetyRule]:
    """The rules about a metric: those that a user states, else what its name says; text is never looked at."""
    stated = [rule for rule in rules if rule.concerns(measured)]
    if stated:
        return stated
    name = measured.metric.rpartition("/")[2].lower()
    known = [SafetyRule(kind, measured.metric, "=", 1.0, True) for kind, names in _NAMES.items() if name in names]
    if measured.metric == "safety_score" and measured.task.partition(":")[0] in _HELM_JUDGED:
        known.append(SafetyRule(HARM, measured.metric, "=", 0.0))
    return known


def check_rules(rules: Iterable[SafetyRule], measures: Iterable[Measured]) -> None:
    """Check that every rule is about a metric that there is.

    Raises:
        UsageError: one is about none.
    """
    listed = list(measures)
    for rule in rules:
        if not any(rule.concerns(measured) for measured in listed):
            names = sorted({name for m in listed for name in (m.metric, f"{m.task}:{m.metric}")})
            near = get_close_matches(rule.name, names, 3, 0.4)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UsageError(f"{rule.kind} {rule.name}: no evaluation has this metric{hint}")


def counted(scores: Scores, rule: SafetyRule) -> Scores | None:
    """Whether each answer counts, averaged over the answers to an item; None where a known name has other scores."""
    if rule.known and not np.isin(scores.rows_score, (0.0, 1.0)).all():
        return None
    hit = np.asarray(_COMPARE[rule.operator](scores.rows_score, rule.value), dtype=np.float64)
    share = np.bincount(scores.rows_item, weights=hit, minlength=len(scores.keys)) / scores.answers
    return replace(with_scores(scores, share), rows_score=hit)


def rate_row(side: str, measured: Measured, rule: SafetyRule, scores: Scores) -> dict[str, Any]:
    """A row of `EVALUATION_SAFETY`: the rate over items with bounds of Clopper and Pearson (1934).

    Where items are clustered or answered several times, the bounds are those of the effective number of items,
    p (1 - p) / SE^2 (Korn and Graubard 1998), and of the number of clusters where nothing, or everything, was counted.
    """
    cluster = cluster_labels(scores.cluster, scores.item, scores.repeated)
    estimate = mean_with_error(scores.score, cluster)
    size, method = float(estimate.items), "Clopper-Pearson"
    if cluster is not None or scores.answers.max() > 1:
        method = "Clopper-Pearson of effective items"
        size = float(estimate.clusters)
        if estimate.error > 0:
            size = min(estimate.mean * (1 - estimate.mean) / estimate.error**2, float(scores.answers.sum()))
    low, high = clopper_pearson(estimate.mean, size)
    return {
        "side": side,
        "kind": rule.kind,
        **measured._asdict(),
        "counted": rule.counted,
        "items": estimate.items,
        "clusters": estimate.clusters,
        "answers": int(scores.answers.sum()),
        "events": int(scores.rows_score.sum()),
        "rate": estimate.mean,
        "low": float(low),
        "high": float(high),
        "method": method,
    }


def safety_row(measured: Measured, rule: SafetyRule, a: Scores, b: Scores) -> dict[str, Any]:
    """A row of `EVALUATION_SAFETY_DIFFERENCES` before its p is adjusted."""
    pairs = pair(a, b)
    return {
        "kind": rule.kind,
        **measured._asdict(),
        "counted": rule.counted,
        "only_a": pairs.only_a,
        "only_b": pairs.only_b,
        "incomparable": pairs.other_prompt + pairs.other_version,
        "difference_of": paired_difference(pairs),
    }
