"""Nightly audits of a corpus that hardly changes: too few documents to test are said to be that, and are no fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.checks.policy.starters import starter_text
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.run.results import Results, Status, Verdict, read_results
from tests import corpora, degenerate
from tests.engine.runs import write_audit
from tests.oracle import Document

pytestmark = pytest.mark.engine

FIELDS = {"text": "text", "id": "id", "domain": "domain"}
DOCUMENTS = degenerate.made(1072)
POLICY = starter_text("scheduled-audit", baseline=True, benchmarks=False)

NIGHTS: dict[str, list[Document]] = {
    "0 added": DOCUMENTS,
    "1 added": DOCUMENTS + degenerate.made(1, start=8000),
    "9 added": DOCUMENTS + degenerate.made(9, start=8000),
    "22 removed": DOCUMENTS[22:],
}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first night's folder, and the tokenizer."""
    folder = tmp_path_factory.mktemp("first")
    bpe = corpora.small_bpe(folder / "bpe", vocabulary=600)
    corpora.write_shards(folder / "shards", corpora.deal(DOCUMENTS, 2), "parquet")
    assert run_command(["run", str(write_audit(folder, [folder / "shards"], bpe, document=FIELDS))], Session()) == 0
    return folder, bpe


def night(folder: Path, first: tuple[Path, Path], documents: list[Document], policy: str) -> tuple[int, Results]:
    """The exit code and the results of a night whose baseline is the first one."""
    corpora.write_shards(folder / "shards", corpora.deal(documents, 2), "parquet")
    (folder / "policy.yaml").write_text(policy)
    more: dict[str, Any] = {"baseline": {"run": str(first[0] / "runs")}, "policy": "policy.yaml", "document": FIELDS}
    code = run_command(["run", str(write_audit(folder, [folder / "shards"], first[1], **more))], Session())
    (run,) = (path.parent for path in (folder / "runs").glob("*/run.json"))
    return code, read_results((run / "results.json").read_bytes())


@pytest.mark.parametrize("name", NIGHTS)
def test_a_night_of_few_changes_has_a_verdict(tmp_path: Path, first: tuple[Path, Path], name: str) -> None:
    code, results = night(tmp_path, first, NIGHTS[name], POLICY)
    open_ = {entry.rule: entry for entry in results.judgements if entry.effect is not Verdict.PASS}
    assert code == 0 and results.verdict in (Verdict.PASS, Verdict.WARN), [entry.reason for entry in open_.values()]
    assert {entry.status for entry in open_.values()} <= {Status.INSUFFICIENT, Status.WARN}, open_
    assert open_.keys() <= {"documents-gone", "size-pinned"}
    assert results.verdict is Verdict.PASS or name == "22 removed"
    drift = next(entry for entry in results.judgements if entry.rule == "drift")
    if name != "0 added":
        assert (drift.status, drift.effect) == (Status.INSUFFICIENT, Verdict.PASS)
        assert "too few documents" in drift.reason and "are needed" in drift.reason


def test_a_policy_may_ask_for_a_verdict_on_every_test(tmp_path: Path, first: tuple[Path, Path]) -> None:
    drift = {"id": "drift", "title": "t", "metric": "drift_jsd_excess", "slice": "baseline=*", "owner": "o",
             "rationale": "r", "fail": {"maximum": 0.01}}  # fmt: skip
    policy = {"name": "p", "version": "1", "insufficient": "none", "rules": [drift]}
    code, results = night(tmp_path, first, NIGHTS["9 added"], json.dumps(policy))
    assert (code, results.verdict) == (4, Verdict.NONE)
