"""Rules to paste into a policy: for what a run measured and no rule judges, and bounds from the history of runs."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from corpus_audit.checks.policy.metric_catalogue import KNOWN
from corpus_audit.checks.policy.not_judged import TOPICS, topic_of
from corpus_audit.checks.policy.starters import IMAGE_STARTER, STARTERS, starter_path
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.wording import figure
from corpus_audit.schemas.run.results import NotJudged
from corpus_audit.schemas.spec.policy_file import load_policy

MAD_TO_DEVIATION = 1.4826
"""The MAD of a normal distribution times this is its standard deviation (Rousseeuw and Croux 1993)."""

FEWEST_RUNS = 5
"""Runs without which no bounds are suggested."""

WARNS, FAILS = 3.0, 6.0
"""Robust standard deviations from the median at which suggested rules warn and fail."""


def robust_band(values: Sequence[float]) -> tuple[float, float]:
    """Median and robust standard deviation (1.4826 MAD) of values."""
    median = statistics.median(values)
    return median, MAD_TO_DEVIATION * statistics.median(abs(value - median) for value in values)


def proposed_rules(entries: Iterable[NotJudged], existing: Collection[str]) -> str:
    """YAML of a rule for each metric: that of a starter policy if one has it, else one that warns beyond what was seen.

    One rule judges all baselines, or all benchmarks, of which a figure is not judged.

    Args:
        entries: what is not judged.
        existing: ids of rules that the policy has.
    """
    known = set(existing)
    texts = []
    covered = set()
    for entry in entries:  # the biggest first: its bound is the highest of those with one pattern
        text = _starter_rule(entry) or _rule_above(entry)
        judges = entry.metric, _pattern(entry)
        if judges in covered:
            continue
        covered.add(judges)
        id_ = text.splitlines()[0].partition("id: ")[2]
        free = next(name for name in (id_, *(f"{id_}-{n}" for n in range(2, len(known) + 3))) if name not in known)
        known.add(free)
        texts.append(text.replace(f"id: {id_}", f"id: {free}", 1))
    return "\n".join(texts)


def _starter_rule(entry: NotJudged) -> str | None:
    """A starter policy's rule on the entry's topic, as it is written there; only one without a reference run."""
    topic = topic_of(entry.metric)
    for name in (*reversed(STARTERS), IMAGE_STARTER):
        loaded = load_policy(starter_path(name))
        lines = loaded.data.decode().splitlines()
        ends = [*loaded.rule_lines[1:], len(lines) + 1]
        for rule, start, end in zip(loaded.policy.rules, loaded.rule_lines, ends, strict=True):
            if rule.reference is None and topic is not None and rule.metric in topic.metrics:
                own = [line for line in lines[start - 1 : end - 1] if line.startswith(("  - ", "    "))]
                return "\n".join(own) + "\n"
    return None


def _rule_above(entry: NotJudged) -> str:
    return _rule(
        entry.metric,
        _pattern(entry),
        {"warn": (None, _rounded(entry.value, up=True))},
        f"Proposed from a run in which it was {figure(entry.value, entry.unit)}. Change the bound and say why.",
    )


def _pattern(entry: NotJudged) -> str:
    """The slices that a proposed rule judges: of every baseline, or every benchmark."""
    return "all" if entry.slice == "all" else f"{entry.slice.partition('=')[0]}=*"


def usual_metrics(slice_: str) -> list[str]:
    """Metrics for which bounds are suggested if none is named: sizes, and what every policy should judge."""
    sizes = ["documents", "tokens", "length_mean_tokens"] if slice_ == "all" else []
    return [*sizes, *(topic.metrics[0] for topic in TOPICS)]


@dataclass(frozen=True)
class Suggestion:
    """A rule from history, or why there is none: one of the two is empty."""

    rule: str
    reason: str


def suggested(metric: str, slice_: str, values: Sequence[float], runs: int) -> Suggestion:
    """A rule whose bounds are a robust band of past runs: median -+ `WARNS` and `FAILS` robust standard deviations.

    Of shares of which less is better only the upper end is a bound.

    Args:
        metric, slice_: the figure.
        values: of complete, comparable runs, oldest first; null ones left out.
        runs: how many such runs there are.
    """
    name = f"{metric} of {slice_}"
    known = [value for value in values if isfinite(value)]
    if len(known) < FEWEST_RUNS:
        has = agree(len(known), "run has", "runs have")
        return Suggestion("", f"{name}: {len(known)} of {runs} {has} it, and bounds need at least {FEWEST_RUNS}")
    median, deviation = robust_band(known)
    if deviation == 0:
        unit = KNOWN[metric].unit
        return Suggestion("", f"{name}: more than half of {len(known)} runs say {figure(median, unit)}: no band")
    below = topic_of(metric) is None
    bounds = {
        key: (_rounded(median - k * deviation, up=False) if below else None, _rounded(median + k * deviation, up=True))
        for key, k in (("warn", WARNS), ("fail", FAILS))
    }
    why = f"Median of {len(known)} runs with {WARNS:g} (warn) and {FAILS:g} (fail) robust standard deviations"
    return Suggestion(_rule(metric, slice_, bounds, f"{why}; suggested from history."), "")


def _rule(metric: str, slice_: str, bounds: Mapping[str, tuple[float | None, float | None]], rationale: str) -> str:
    """A rule in YAML, indented as an item of ``rules:``."""
    meaning = KNOWN[metric].meaning
    lines = [
        f"  - id: {metric.replace('_', '-')}",
        f"    title: {_quoted(meaning[:1].upper() + meaning[1:])}",
        f"    metric: {metric}",
        *([] if slice_ == "all" else [f"    slice: {_quoted(slice_)}"]),
        *(f"    {key}: {{{', '.join(_ends(ends))}}}" for key, ends in bounds.items()),
        "    owner: CHANGE ME",
        f"    rationale: {_quoted(rationale)}",
    ]
    return "\n".join(lines) + "\n"


def _ends(ends: tuple[float | None, float | None]) -> Iterator[str]:
    for name, end in zip(("minimum", "maximum"), ends, strict=True):
        if end is not None:
            yield f"{name}: {end:.12g}"


def _quoted(text: str) -> str:
    """A YAML string in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def _rounded(value: float, up: bool) -> float:
    """Three significant digits, away from what is allowed less: up or down."""
    if value == 0:
        return 0.0
    step = 10.0 ** (floor(log10(abs(value))) - 2)
    return float(f"{(ceil if up else floor)(round(value / step, 6)) * step:.12g}")
