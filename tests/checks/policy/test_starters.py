"""The starter policies: they load, name what runs have, and judge."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from corpus_audit.checks.policy.check import doubts, mistakes
from corpus_audit.checks.policy.judge import References, judge
from corpus_audit.checks.policy.metric_catalogue import KNOWN
from corpus_audit.checks.policy.starters import ALL_STARTERS, IMAGE_STARTER, STARTERS, starter_path, starter_text
from corpus_audit.schemas.run.results import Reference, Verdict
from corpus_audit.schemas.spec.policy_file import load_policy, read_policy
from tests.checks.policies import fact, facts, figure, metrics, policy, rule

SIZES = (
    fact("dead_letter_share", value=0.0),
    fact("documents", value=40_000.0),
    fact("tokens", value=9e6),
    figure("duplicate_share_documents", value=0.01, low=0.008, high=0.012, n=40_000),
    figure("duplicate_share_documents", "domain=web", value=0.01, low=0.0, high=0.3, n=40),
    fact("across_share_documents", value=0.001),
)
COMPARED = (
    figure("drift_jsd_excess", "baseline=last", value=0.0004, low=0.0001, high=0.0009, n=40_000, unit="bits"),
    fact("drift_lenses_shown", "baseline=last", value=0.0),
    fact("removed_share", "baseline=last", value=0.001),
    fact("edited_share", "baseline=last", value=0.001),
    figure("domain_share_change_tokens", "baseline=last,domain=web", value=0.001, low=-0.01, high=0.01, n=40_000),
    figure("contamination_share", "benchmark=exam,rule=gpt3", value=0.0, low=0.0, high=0.01, n=500),
    figure("contamination_false_positive_rate", "rule=gpt3", value=0.0, low=0.0, high=0.01, n=500),
)


OF_IMAGES = (
    fact("dead_letter_share", value=0.0),
    fact("images", value=40_000.0),
    fact("mislabelled_image_share", value=0.0),
    fact("flat_image_share", value=0.001),
    figure("image_duplicate_share_pixels", value=0.01, low=0.008, high=0.012, n=40_000),
    fact("image_across_share_pixels", value=0.001),
    figure("image_near_duplicate_share_within", value=0.02, low=0.01, high=0.03, n=40_000),
)


@pytest.mark.parametrize("name", ALL_STARTERS)
def test_they_are_sound_and_gate_the_pinned_and_the_last_signed_run(name: str) -> None:
    loaded = load_policy(starter_path(name))
    assert mistakes(loaded) == [] and doubts(loaded, datetime.now(UTC).date()) == []
    kinds = {
        entry.reference.kind for entry in loaded.policy.rules if entry.reference is not None and entry.fail is not None
    }
    assert kinds == {"pinned", "last_signed"}
    assert all(
        (len(entry.rationale) > 20 and entry.next_step) or entry.id.endswith("alarms") for entry in loaded.policy.rules
    )


@pytest.mark.parametrize("name", STARTERS)
@pytest.mark.parametrize("baseline", [False, True])
def test_what_an_audit_cannot_satisfy_yet_is_a_comment(name: str, baseline: bool) -> None:
    loaded = read_policy(starter_text(name, baseline=baseline, benchmarks=baseline).encode())
    rows = [*SIZES, *COMPARED] if baseline else SIZES
    references = References(
        {
            (entry.id, "all"): Reference(kind="pinned", run="x", value=9.1e6, low=9.1e6, high=9.1e6, compare="ratio")
            for entry in loaded.policy.rules
            if entry.reference is not None and entry.reference.kind == "pinned"
        }
    )
    assert bool(references.figures) is baseline
    results = judge(loaded, metrics(*rows), facts(), references, date(2026, 11, 25))
    assert results.verdict is Verdict.PASS, [entry for entry in results.judgements if entry.status.value != "pass"]
    whole = read_policy(starter_text(name, baseline=True, benchmarks=True, signed=True).encode())
    assert len(whole.policy.rules) == len(load_policy(starter_path(name)).policy.rules) > len(loaded.policy.rules)


@pytest.mark.parametrize("name", STARTERS)
def test_in_full_and_without_what_they_compare_with_there_is_no_verdict(name: str) -> None:
    loaded = load_policy(starter_path(name))
    results = judge(loaded, metrics(*SIZES), facts(), References(), date(2026, 11, 25))
    assert results.verdict is Verdict.NONE


def test_images_are_judged_by_a_policy_of_their_own() -> None:
    first = read_policy(starter_text(IMAGE_STARTER, baseline=False, benchmarks=False).encode())
    assert judge(first, metrics(*OF_IMAGES), facts(), References(), date(2026, 11, 25)).verdict is Verdict.PASS
    twice = [row | {"value": 0.3} if "across" in row["metric"] else row for row in OF_IMAGES]
    assert judge(first, metrics(*twice), facts(), References(), date(2026, 11, 25)).verdict is Verdict.FAIL
    whole = load_policy(starter_path(IMAGE_STARTER)).policy.rules
    judged = {entry.metric for entry in first.policy.rules}
    assert {"image_contamination_share", "drift_lenses_shown"} <= {entry.metric for entry in whole} - judged


def test_a_corpus_that_is_bad_fails() -> None:
    loaded = read_policy(starter_text("scheduled-audit", baseline=False, benchmarks=False).encode())
    rows = [row | {"value": 0.3, "low": 0.28, "high": 0.32} if "duplicate" in row["metric"] else row for row in SIZES]
    assert judge(loaded, metrics(*rows), facts(), References(), date(2026, 11, 25)).verdict is Verdict.FAIL


def test_metrics_are_known_once_and_in_order() -> None:
    assert list(KNOWN) == sorted(KNOWN) and all(name == entry.name for name, entry in KNOWN.items())


@pytest.mark.parametrize(
    ("metric", "slice_", "doubted"),
    [
        ("contamination_copy_recall", "copy=verbatim,rule=gpt3", False),
        ("contamination_copy_recall", "rule=gpt3", True),
        ("semantic_share", "benchmark=exam", False),
        ("semantic_share", "domain=web", True),
        ("domain_share_tokens", "language=en", False),
        ("domain_share_tokens", "all", True),
        ("kept_share", "baseline=last,domain=web", False),
    ],
)
def test_a_slice_of_another_shape_is_doubted(metric: str, slice_: str, doubted: bool) -> None:
    result = doubts(policy(rule(metric=metric, slice=slice_)), date(2026, 11, 25))
    assert [f"slices of {metric} look like" in entry.message for entry in result] == [True] * doubted
