"""What was measured and no rule judges: planted figures, rules that cover them, and rules that are proposed."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from corpus_audit.checks.policy.check import mistakes
from corpus_audit.checks.policy.judge import References, judge
from corpus_audit.checks.policy.metric_catalogue import KNOWN
from corpus_audit.checks.policy.not_judged import TOPICS, lines, not_judged
from corpus_audit.checks.policy.proposals import proposed_rules, robust_band, suggested
from corpus_audit.schemas.run.results import FORMAT_1, Status, read_results
from corpus_audit.schemas.spec.policy_file import LoadedPolicy, read_policy
from tests.checks.policies import fact, facts, figure, metrics, policy, rule

ROWS = (
    figure("contamination_share", "benchmark=exam,rule=gpt3", 39 / 160, 160, 0.18, 0.32),
    figure("contamination_share", "benchmark=exam,rule=palm", 12 / 160, 160, 0.04, 0.13),
    figure("contamination_share", "benchmark=quiz,rule=gpt3", 0.0, 160, 0.0, 0.02),
    figure("duplicate_share_documents", "all", 739 / 7239, 7239, 0.09, 0.11),
    figure("duplicate_share_documents", "domain=web", 0.9, 100, 0.8, 1.0),
    figure("removed_share", "baseline=last", 22 / 1072, 1072, 22 / 1072, 22 / 1072),
    figure("added_share", "baseline=last", None, 0),
    figure("drift_jsd_excess", "baseline=last", 0.002, 1000, 0.001, 0.003, "bits"),
    figure("drift_jsd_excess", "baseline=other", 0.002, 1000, -0.001, 0.003, "bits"),
    fact("tokens", value=1e6),
)


def lines_for(*rules: dict[str, Any]) -> list[str]:
    return list(lines(not_judged(policy(*rules).policy, metrics(*ROWS))))


SIZE = rule("size", metric="tokens", fail={"minimum": 1})
ALL = [
    "share of a benchmark's items that the rule finds in the corpus: 39 of 160 (24.4 %), benchmark=exam,rule=gpt3",
    "documents that repeat a text of the corpus: 739 of 7,239 (10.2 %)",
    "documents of the baseline that are gone: 22 of 1,072 (2.05 %), baseline=last",
    "Jensen-Shannon divergence beyond what chance gives: 0.002 bits, baseline=last",
]


def test_the_biggest_stands_first_and_nothing_that_is_0_or_not_certain_is_listed() -> None:
    assert lines_for(SIZE) == ALL


@pytest.mark.parametrize(
    ("more", "gone"),
    [
        ({"metric": "contamination_share", "slice": "benchmark=exam,rule=palm"}, 0),
        ({"metric": "contamination_share", "slice": "benchmark=*,rule=gpt3"}, 0),
        ({"metric": "contamination_share", "slice": "benchmark=quiz,rule=gpt3"}, None),
        ({"metric": "duplicate_share_tokens", "slice": "domain=*"}, 1),
        ({"metric": "removed_share", "slice": "baseline=last"}, 2),
        ({"metric": "removed_share", "slice": "baseline=other"}, None),
        ({"metric": "added_share", "slice": "baseline=last"}, None),
        ({"metric": "drift_p", "slice": "baseline=*,domain=*"}, 3),
    ],
)
def test_a_rule_on_the_topic_takes_it_off_the_list(more: dict[str, Any], gone: int | None) -> None:
    assert lines_for(SIZE, rule("r", **more)) == [line for number, line in enumerate(ALL) if number != gone]


def test_results_keep_it_and_those_of_earlier_releases_have_none() -> None:
    results = judge(policy(SIZE), metrics(*ROWS), facts(), References(), date(2026, 11, 25))
    assert [entry.metric for entry in results.not_judged][:2] == ["contamination_share", "duplicate_share_documents"]
    assert (results.not_judged[0].count, results.not_judged[0].n) == (39, 160)
    assert read_results(results.to_json()) == results
    old = judge(policy(SIZE), metrics(*ROWS), facts(), References(), date(2026, 11, 25), FORMAT_1)
    assert old.not_judged == ()


def test_every_topic_names_metrics_that_runs_have() -> None:
    assert all(name in KNOWN for topic in TOPICS for name in topic.metrics)
    assert {"removed_share", "added_share"} <= {topic.metrics[0] for topic in TOPICS}
    assert "kept_share" not in {topic.metrics[0] for topic in TOPICS}


def test_copies_in_a_corpus_of_images_are_those_by_pixels() -> None:
    rows = (
        figure("duplicate_share_documents", "all", 2 / 192, 192),
        figure("across_share_documents", "all", 2 / 192, 192),
        figure("image_duplicate_share_pixels", "all", 3 / 192, 192),
        figure("image_across_share_pixels", "all", 2 / 192, 192),
    )
    copies, across = lines(not_judged(policy(SIZE).policy, metrics(*rows)))
    assert copies == "images that repeat a picture of the corpus: 3 of 192 (1.56 %)"
    assert across.startswith("images") and across.endswith("another domain too: 2 of 192 (1.04 %)"), across


def loaded(rules: str) -> LoadedPolicy:
    return read_policy(f"name: p\nversion: 1\nrules:\n{rules}".encode())


def test_proposed_rules_can_be_pasted_and_leave_nothing_without_a_rule() -> None:
    entries = not_judged(policy(SIZE).policy, metrics(*ROWS))
    proposed = loaded(proposed_rules(entries, {"drift", "size"}))
    assert mistakes(proposed) == []
    assert [entry.id for entry in proposed.policy.rules] == ["contamination", "duplicates", "documents-gone", "drift-2"]
    assert not_judged(proposed.policy, metrics(*ROWS)) == ()


def test_one_rule_is_proposed_for_several_benchmarks_and_baselines() -> None:
    rows = [
        *(figure("contamination_share", f"benchmark={name},rule=gpt3", 0.1, 160) for name in ("one", "two")),
        *(figure("added_share", f"baseline={name}", value, 1081) for name, value in (("a", 0.1), ("b", 0.2))),
    ]
    entries = not_judged(policy(SIZE).policy, metrics(*rows))
    assert len(entries) == 4
    proposed = loaded(proposed_rules(entries, {"size"}))
    assert [entry.id for entry in proposed.policy.rules] == ["added-share", "contamination"]
    assert proposed.policy.rules[0].warn.maximum == 0.2
    assert not_judged(proposed.policy, metrics(*rows)) == ()


def test_nothing_is_left_out_of_what_no_rule_judges() -> None:
    rows = [figure("contamination_share", f"benchmark=b{n},rule=gpt3", 0.1, 160) for n in range(50)]
    assert len(not_judged(policy(SIZE).policy, metrics(*rows))) == 50


def test_without_a_starter_rule_one_warns_beyond_what_was_seen() -> None:
    entries = not_judged(policy(SIZE).policy, metrics(figure("added_share", "baseline=last", 9 / 1081, 1081)))
    (proposed,) = loaded(proposed_rules(entries, set())).policy.rules
    assert (proposed.metric, proposed.slice) == ("added_share", "baseline=*")
    assert proposed.warn is not None and proposed.warn.maximum == 0.00833
    assert "Change the bound" in proposed.rationale


def test_suggested_bounds_are_a_robust_band_and_need_five_runs() -> None:
    values = [100.0, 102.0, 98.0, 101.0, 99.0, 5000.0]  # one outlier moves nothing
    median, deviation = robust_band(values)
    assert (median, deviation) == (100.5, pytest.approx(1.4826 * 1.5))
    (sizes,) = loaded(suggested("documents", "all", values, 6).rule).policy.rules
    assert sizes.warn is not None and sizes.fail is not None
    assert (sizes.warn.minimum, sizes.warn.maximum) == (93.8, 108)
    assert (sizes.fail.minimum, sizes.fail.maximum) == (87.1, 114)
    shares = [0.01, 0.012, 0.011, 0.009, 0.01]
    (copies,) = loaded(suggested("duplicate_share_documents", "all", shares, 5).rule).policy.rules
    assert copies.warn is not None and copies.warn.minimum is None
    assert copies.warn.maximum == pytest.approx(0.01 + 3 * 1.4826 * 0.001, rel=0.01)
    few = suggested("documents", "all", values[:4], 6)
    assert (few.rule, few.reason) == ("", "documents of all: 4 of 6 runs have it, and bounds need at least 5")
    same = suggested("documents", "all", [7.0] * 6, 6)
    assert (same.rule, same.reason) == ("", "documents of all: more than half of 6 runs say 7: no band")


def test_a_proposed_rule_judges_the_run_that_it_was_proposed_from() -> None:
    entries = not_judged(policy(SIZE).policy, metrics(*ROWS))
    results = judge(loaded(proposed_rules(entries, set())), metrics(*ROWS), facts(), References(), date(2026, 11, 25))
    statuses = {(entry.rule, entry.slice): entry.status for entry in results.judgements if entry.kind == "rule"}
    assert statuses["contamination", "benchmark=exam,rule=gpt3"] is Status.FAIL
    assert statuses["documents-gone", "baseline=last"] is Status.WARN
