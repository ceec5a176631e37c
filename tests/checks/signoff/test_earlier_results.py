"""Runs that an earlier release judged and people signed: their sign-offs still verify, and still cannot be changed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.checks.policy.judge import References, judge
from corpus_audit.checks.signoff.predicate import same_not_judged
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.results import FORMAT_1, NotJudged, Verdict, read_results
from corpus_audit.schemas.spec.policy_file import load_policy
from tests.checks.signoff.world import World, build_world, sign_world

NEW_KEYS = ("judged_because", "judged_value", "insufficient")


def earlier(world: World) -> dict[str, Any]:
    """results.json of the world's run as an earlier release wrote it: without today's keys, in its own words."""
    run = RunDirectory(world.run)
    policy = load_policy(world.run / "policy.yaml")
    results = judge(policy, run.table("metrics"), run.facts, References(), date(2026, 11, 25), FORMAT_1)
    value: dict[str, Any] = strict_json.loads(results.to_json())
    del value["not_judged"]
    for judgement in value["judgements"]:
        judgement["reason"] = f"In other words: {judgement['reason']}"
        for key in NEW_KEYS:
            del judgement[key]
    return value


def test_a_sign_off_over_results_of_an_earlier_release_verifies(tmp_path: Path) -> None:
    world = sign_world(build_world(tmp_path))
    value = earlier(world)
    world.rewrite("results.json", strict_json.dumps(value))
    assert value["schema"] == FORMAT_1
    assert read_results((world.run / "results.json").read_bytes()).verdict is Verdict.WARN
    assert world.verify().statement.predicate.measured.not_judged == ()


def test_figures_of_earlier_results_have_to_follow_from_the_tables(tmp_path: Path) -> None:
    world = sign_world(build_world(tmp_path))
    value = earlier(world)
    value["judgements"][-1]["observed"] = 151.0
    world.rewrite("results.json", strict_json.dumps(value))
    with pytest.raises(VerificationError) as refused:
        world.verify()
    assert refused.value.code == "verdict"


def test_of_the_figures_without_a_rule_earlier_releases_listed_the_first_20() -> None:
    listed = tuple(
        NotJudged(metric="contamination_share", slice=f"benchmark={n}", what="leaked", value=0.5, n=9, unit="share")
        for n in range(30)
    )
    assert same_not_judged(listed[:20], listed) and same_not_judged(listed, listed)
    assert not same_not_judged(listed[:19], listed) and not same_not_judged(listed[1:21], listed)
    assert not same_not_judged(listed, listed[:20])
