"""Random policies over random tables: verdict and Great Expectations' results against a reference of twenty lines."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus_audit.checks.policy.great_expectations_rules import evaluate
from corpus_audit.checks.policy.judge import References, judge
from tests.checks.policies import facts, figure, metrics, policy, rule
from tests.checks.policy.test_great_expectations_rules import statuses

SLICES = ("all", "domain=a", "domain=b", "baseline=x", "baseline=x,domain=a")
PATTERNS = (*SLICES, "domain=*", "baseline=*", "baseline=*,domain=*", "*")
NUMBERS = (0.0, 0.25, 0.5, 0.75, 1.0)
ODD = (None, float("nan"), float("inf"))

number = st.sampled_from(NUMBERS * 4 + ODD)
ends = {"minimum": st.sampled_from((0.0, 0.25)), "maximum": st.sampled_from((0.75, 1.0))}
bound = st.fixed_dictionaries({}, optional=ends)
rows = st.lists(
    st.builds(
        figure,
        metric=st.sampled_from(("m", "k")),
        slice_=st.sampled_from(SLICES),
        value=number,
        n=st.sampled_from((0, 5, 50)),
        low=number,
        high=number,
    ),
    max_size=6,
)
drafts = st.lists(
    st.fixed_dictionaries(
        {
            "metric": st.sampled_from(("m", "k")),
            "slice": st.sampled_from(PATTERNS),
            "judged": st.sampled_from(("interval", "value", "low", "high")),
            "fail": bound,
            "warn": bound,
            "minimum_n": st.sampled_from((1, 10)),
        }
    ),
    min_size=1,
    max_size=4,
)


def named(pattern: str, slice_: str) -> bool:
    keys = [part.split("=")[0] for part in slice_.split(",")]
    wanted = {"domain=*": ["domain"], "baseline=*": ["baseline"], "baseline=*,domain=*": ["baseline", "domain"]}
    return pattern in ("*", slice_) or wanted.get(pattern) == keys


def reference(rules: list[dict[str, Any]], table: list[dict[str, Any]]) -> str:
    statuses = []
    for entry in rules:
        result = [row for row in table if row["metric"] == entry["metric"] and named(entry["slice"], row["slice"])]
        statuses += [] if result else ["none"]
        for row in result:
            numbers = [row[key] for key in ("value", "low", "high")]
            odd = any((number is not None and abs(number) in (float("inf"),)) or number != number for number in numbers)
            twice = sum(other["slice"] == row["slice"] for other in result) > 1
            judged = entry["judged"]
            low, high = (row["low"], row["high"]) if judged == "interval" else (row[judged],) * 2
            crossed = None not in (row["low"], row["high"]) and not odd and row["low"] > row["high"]
            crossed &= judged != "value"
            if (
                odd
                or twice
                or crossed
                or row["value"] is None
                or low is None
                or high is None
                or row["n"] < entry["minimum_n"]
            ):
                statuses.append("none")
            else:
                beyond = {}
                for name in ("fail", "warn"):
                    least, most = entry.get(name, {}).get("minimum", -9), entry.get(name, {}).get("maximum", 9)
                    beyond[name] = 2 if low > most or high < least else 1 if high > most or low < least else 0
                worst = {2: "fail", 1: "none"}.get(beyond["fail"], "warn" if beyond["warn"] else "pass")
                statuses.append(worst)
    return next((status for status in ("fail", "none", "warn") if status in statuses), "pass")


def valid(drafts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The drafts as rules whose warning range lies within the failing one, and that have a range."""
    rules = []
    for number, draft in enumerate(drafts):
        fail, warn = draft["fail"], dict(draft["warn"])
        for end, inner in (("minimum", max), ("maximum", min)):
            if end in fail and end in warn:
                warn[end] = inner(warn[end], fail[end])
        ranges = {name: range_ for name, range_ in (("fail", fail), ("warn", warn)) if range_}
        rest = {key: value for key, value in draft.items() if key not in ("fail", "warn")}
        entry = rule(f"r{number}", **rest)
        del entry["fail"]
        rules.append(entry | (ranges or {"fail": {"maximum": 0.5}}))
    return rules


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(drafts=drafts, table=rows)
def test_the_verdict_is_that_of_the_reference(drafts: list[dict[str, Any]], table: list[dict[str, Any]]) -> None:
    rules = valid(drafts)
    results = judge(policy(*rules, insufficient="none"), metrics(*table), facts(), References(), date(2026, 11, 25))
    assert results.verdict.value == reference(rules, table)


@pytest.mark.slow
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(drafts=drafts, table=rows)
def test_great_expectations_exports_the_same_statuses(
    drafts: list[dict[str, Any]], table: list[dict[str, Any]]
) -> None:
    loaded = policy(*valid(drafts))
    judged: dict[str, dict[str, str]] = {}
    for entry in judge(loaded, metrics(*table), facts(), References(), date(2026, 11, 25)).judgements:
        if entry.kind == "rule":
            judged.setdefault(entry.rule, {})[entry.slice] = entry.status
    assert statuses(evaluate(loaded, metrics(*table), {})) == judged
