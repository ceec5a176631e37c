"""``corpus-audit check`` on an investigation: its findings are figures that a policy judges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpus_audit.checks.policy.metric_catalogue import KNOWN, OF_INVESTIGATIONS
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.investigation.published import find_investigation, judge_investigation, open_investigation
from corpus_audit.schemas.run.findings import Reading, read_findings
from corpus_audit.schemas.run.results import Results, Status, Verdict
from corpus_audit.schemas.spec.policy_file import LoadedPolicy
from corpus_audit.schemas.spec.slices import parts
from corpus_audit.schemas.tables.metric_declarations import SLICE_KEYS
from corpus_audit.schemas.tables.run_tables import METRICS
from tests.checks.policies import policy, rule, waiver
from tests.pages import block


def write_investigation(root: Path) -> Path:
    """An investigation of a run with a spike and a line that is no JSON, and of one with too few points; its output."""
    loss = 3 + 0.02 * np.random.default_rng(0).standard_normal(900)
    loss[400] += 1
    lines = [f'{{"step": {step}, "loss": {value}}}\n' for step, value in enumerate(loss.tolist())]
    for name, text in (("now/log.jsonl", "".join(lines) + "{\n"), ("short/log.jsonl", "".join(lines[:9]))):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    (root / "now" / "model.pkl").write_bytes(b"\x80\x04.")
    runs = [{"id": name, "telemetry": [name]} for name in ("now", "short")]
    path = root / "investigation.yaml"
    path.write_text(json.dumps({"version": 1, "name": "what happened", "runs": runs}))
    assert run_command(["investigate", str(path)], Session()) == 0
    return root / "investigations"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_investigation(tmp_path_factory.mktemp("judged"))


def judged(output: Path, loaded: LoadedPolicy) -> Results:
    folder = find_investigation(output)
    assert folder is not None
    return judge_investigation(loaded, open_investigation(folder))


def figures(output: Path) -> dict[tuple[str, str], dict[str, Any]]:
    folder = find_investigation(output)
    assert folder is not None
    table = pq.read_table(folder / "tables" / "metrics.parquet")
    assert table.schema == METRICS
    return {(row["metric"], row["slice"]): row for row in table.to_pylist()}


def test_metrics_are_those_of_the_findings_and_files(output: Path) -> None:
    rows = figures(output)
    folder = find_investigation(output)
    assert folder is not None
    findings = read_findings(folder).findings
    for reading, metric in (
        (Reading.SHOWN, "investigation_findings_shown"),
        (Reading.NOT_ENOUGH, "investigation_findings_not_enough_data"),
    ):
        row = rows[metric, "all"]
        assert (row["value"], row["n"]) == (sum(f.reading is reading for f in findings), len(findings))
        assert rows[metric, "bucket=training"]["value"] <= row["value"]
    spike = next(finding for finding in findings if finding.id == "now.spike.400")
    assert rows["investigation_finding", "finding=now.spike.400"]["value"] == 1
    effect = rows["investigation_effect", "finding=now.spike.400"]
    assert spike.effect is not None and effect["value"] == spike.effect.value and effect["unit"] == spike.effect.unit
    too_few = [finding for finding in findings if finding.reading is Reading.NOT_ENOUGH]
    row = rows["investigation_finding", f"finding={too_few[0].id}"]
    assert row["value"] is None and row["reason"].startswith("not enough data: ") and "; " not in row["reason"]
    assert rows["investigation_dead_letters", "run=now"]["value"] == 1
    assert rows["investigation_dead_letters", "run=short"]["value"] == 0
    unread = rows["investigation_files_unread", "all"]
    assert (unread["value"], unread["n"]) == (1, 3)


def test_metrics_are_as_declared(output: Path) -> None:
    rows = figures(output)
    assert {metric for metric, _ in rows} == OF_INVESTIGATIONS
    for (metric, slice_), row in rows.items():
        declared = KNOWN[metric]
        assert tuple(key for key, _ in parts(slice_)) in SLICE_KEYS[declared.slices]
        assert declared.kind == "effect" or row["unit"] == declared.unit
        assert declared.bounds == "interval" or {row["low"], row["high"]} == {row["value"]}


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"metric": "investigation_finding", "slice": "finding=now.spike.*", "fail": {"maximum": 0}}, Status.FAIL),
        ({"metric": "investigation_finding", "slice": "finding=now.divergence", "fail": {"maximum": 0}}, Status.PASS),
        ({"metric": "investigation_finding", "slice": "finding=short.divergence", "fail": {"maximum": 0}},
         Status.INSUFFICIENT),
        ({"metric": "investigation_dead_letters", "fail": {"maximum": 10}, "warn": {"maximum": 0}}, Status.WARN),
        ({"metric": "investigation_findings_shown", "slice": "bucket=training", "fail": {"maximum": 99}}, Status.PASS),
        ({"metric": "investigation_effect", "slice": "finding=now.spike.400", "fail": {"maximum": 5},
          "judged": "value"}, Status.PASS),
        ({"metric": "duplicate_share_documents"}, Status.MISSING),
        ({"metric": "investigation_dead_letters", "fail": {"maximum": 0},
          "reference": {"kind": "last_signed", "compare": "difference"}}, Status.MISSING),
    ],
)  # fmt: skip
def test_rules_judge_findings(output: Path, more: dict[str, Any], status: Status) -> None:
    results = judged(output, policy(rule(**more)))
    integrity, judgement = results.judgements
    assert (integrity.rule, integrity.status) == ("digests", Status.PASS)
    assert judgement.status is status, judgement.reason
    assert results.name == "what happened" and len(results.snapshot) == 64
    if status is Status.INSUFFICIENT:
        assert judgement.reason.startswith("Not enough data to test: ") and results.verdict is Verdict.WARN
    if judgement.metric == "investigation_dead_letters" and status is Status.WARN:
        assert judgement.judged_because == "a count among the findings and files of an investigation"


def test_coverage_of_a_corpus_is_missing_where_the_policy_asks_for_it(output: Path) -> None:
    size = rule(metric="investigation_findings_shown", fail={"maximum": 99})
    results = judged(output, policy(size, coverage={"whole": True, "manifest": True}))
    statuses = [(judgement.rule, judgement.status) for judgement in results.judgements[1:]]
    missing = [("required_whole", Status.MISSING), ("required_manifest", Status.MISSING)]
    assert statuses == [*missing, ("r", Status.PASS)] and results.verdict is Verdict.NONE


def test_what_no_rule_judges_is_listed_and_waivers_hold(output: Path) -> None:
    size = rule(metric="investigation_dead_letters", fail={"maximum": 0})
    accepted = waiver(
        holds_while={"maximum": 3}, created=_day(-1), expires=_day(30), slice="all",
    )  # fmt: skip
    results = judged(output, policy(size, waivers=[accepted]))
    assert results.judgements[1].status is Status.WAIVED and results.verdict is Verdict.WARN
    (shown,) = results.not_judged
    assert shown.metric == "investigation_findings_shown" and shown.count is None and shown.value >= 2


def _day(offset: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC).date() + timedelta(days=offset)).isoformat()


def test_the_command_prints_the_verdict_and_a_changed_file_has_none(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.yaml").write_text(block("checks/investigation/README.md", "Judge an investigation", "yaml"))
    shutil.copytree(output, tmp_path / "copied")
    command = ["check", str(tmp_path / "copied"), "--policy", str(tmp_path / "policy.yaml")]
    capsys.readouterr()
    assert run_command(command, Session()) == 1
    assert "Failed under policy training runs 1" in capsys.readouterr().out
    assert run_command([*command, "--json"], Session()) == 1
    payload = json.loads(capsys.readouterr().out)
    assert payload["schema"] == "corpus-audit/check/1" and payload["verdict"] == "fail"
    assert {each["rule"] for each in payload["not_passed"]} >= {"no-spikes"}
    folder = find_investigation(tmp_path / "copied")
    assert folder is not None
    (folder / "findings.json").write_text((folder / "findings.json").read_text().replace('"shown"', '"not shown"'))
    assert run_command(command, Session()) == 4
    assert "Missing or changed: findings.json" in " ".join(capsys.readouterr().out.split())


def test_policy_commands_know_the_metrics(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.yaml").write_text(block("checks/investigation/README.md", "Judge an investigation", "yaml"))
    assert run_command(["policy", "check", str(tmp_path / "policy.yaml")], Session()) == 0
    assert run_command(["policy", "explain", "investigation_finding"], Session()) == 0
    assert "finding=<id>" in capsys.readouterr().out
