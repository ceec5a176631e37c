from __future__ import annotations

from typing import Any

import pytest

from corpus_audit.checks.policy.diff import policy_changes
from tests.checks.policies import policy, rule, waiver

TWO = {"fail": {"minimum": 0.2, "maximum": 0.5}}


@pytest.mark.parametrize(
    ("before", "after", "direction", "text"),
    [
        (rule(), rule(fail={"maximum": 0.6}), "weaker", "fails above 0.6 instead of above 0.5"),
        (rule(), rule(fail={"maximum": 0.4}), "stronger", "fails above 0.4 instead of above 0.5"),
        (rule(**TWO), rule(fail={"maximum": 0.5}), "weaker", "fails above 0.5 instead of below 0.2 or above 0.5"),
        (rule(**TWO), rule(fail={"minimum": 0.3, "maximum": 0.5}), "stronger", "fails below 0.3 or above 0.5"),
        (rule(**TWO), rule(fail={"minimum": 0.3, "maximum": 0.6}), "changed", "fails below 0.3 or above 0.6"),
        (rule(), rule(fail=None, warn={"maximum": 0.5}), "weaker", "fails no longer"),
        (rule(), rule(warn={"maximum": 0.1}), "stronger", "warns above 0.1, which it did not"),
        (rule(), rule(minimum_n=5), "stronger", "needs n of 5 instead of 1"),
        (rule(), rule(judged="low"), "weaker", "judges the low instead of the interval"),
        (rule(judged="low"), rule(judged="high"), "stronger", "judges the high instead of the low"),
        (rule(), rule(slice="domain=*"), "changed", "judges m of domain=* instead of m of all"),
        (
            rule(),
            rule(reference={"kind": "last_signed", "compare": "ratio"}),
            "changed",
            "is compared with another reference",
        ),
    ],
)
def test_rules(before: dict[str, Any], after: dict[str, Any], direction: str, text: str) -> None:
    changes = policy_changes(policy(before).policy, policy(after).policy)
    assert (changes[0].direction, changes[0].text[: len(text)]) == (direction, text)


def test_what_comes_and_goes() -> None:
    before = policy(rule(), rule("gone"), waivers=[waiver()]).policy
    after = policy(
        rule(),
        rule("new"),
        waivers=[waiver("W-2")],
        coverage={"whole": False, "manifest": True},
        approvals={"required": 3, "roles": ["owner"]},
    ).policy
    assert [(entry.direction, entry.where) for entry in policy_changes(before, after)] == [
        ("weaker", "gone"), ("weaker", "waiver W-2"), ("weaker", "coverage"),
        ("stronger", "new"), ("stronger", "waiver W-1"), ("stronger", "coverage"),
        ("stronger", "approvals"), ("stronger", "approvals"),
    ]  # fmt: skip
    assert policy_changes(before, before) == []


def test_a_longer_or_wider_waiver_is_weaker() -> None:
    before = policy(rule(), waivers=[waiver()]).policy
    after = policy(rule(), waivers=[waiver(expires="2026-12-31", holds_while={"maximum": 0.9})]).policy
    assert [(entry.direction, entry.text) for entry in policy_changes(before, after)] == [
        ("weaker", "expires on 2026-12-31 instead of 2026-11-30"),
        ("weaker", "is void above 0.9 instead of above 0.8"),
    ]
