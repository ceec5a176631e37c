"""``--if-changed``: nothing is published where nothing changed, and everything that changes a run is seen."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.reading.snapshot.dates import fill_dates
from corpus_audit.runners.audit.outcome import AuditOutcome
from corpus_audit.runners.audit.run import run_audit
from corpus_audit.schemas.spec.audit_file import load_audit
from tests.checks.policies import rule
from tests.engine.runs import write_audit

pytestmark = pytest.mark.engine


def write_shard(path: Path, documents: int = 1200) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": f"{i} the quick brown fox " * (1 + i % 5)}) for i in range(documents)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_policy(folder: Path, maximum: float, **more: object) -> None:
    small = rule("small", metric="documents", fail={"maximum": maximum})
    text = json.dumps({"name": "p", "version": "1", "rules": [small], **more})
    (folder / "policy.yaml").write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, bpe: Path) -> Path:
    shutil.copy(bpe, tmp_path / "tokenizer.json")
    write_shard(tmp_path / "data" / "2026-01-01" / "web" / "part.jsonl")
    write_policy(tmp_path, 100)
    return tmp_path


def audited(folder: Path, day: date | None = None, **spec: Any) -> AuditOutcome:
    fields = {"text": "text", "domain": {"path": "{domain}/*.jsonl"}}
    given = {"document": fields, "policy": "policy.yaml", **spec}
    path = write_audit(folder, [Path("data/{latest}")], Path("tokenizer.json"), **given)
    return run_audit(fill_dates(load_audit(path), day), workers=2, board=Board(), if_changed=True)


def runs(folder: Path) -> int:
    return len(list((folder / "runs").glob("2*")))


def test_a_run_with_the_same_inputs_is_left_out_and_any_change_is_seen(folder: Path, bpe: Path) -> None:
    first = audited(folder)
    assert not first.unchanged and first.exit_code == 1
    again = audited(folder)
    assert again.unchanged and again.run_dir == first.run_dir and again.exit_code == 0
    assert again.results == first.results and runs(folder) == 1
    assert not (folder / "runs" / ".staging").exists()

    shutil.copytree(folder / "data" / "2026-01-01", folder / "data" / "2026-01-02")
    assert audited(folder).unchanged, "the same shards in the folder of another day"
    (folder / "data" / "2026-01-02" / "web").rename(folder / "data" / "2026-01-02" / "books")
    changed = audited(folder)
    assert not changed.unchanged, "another name of a shard, and another domain"
    assert json.loads((changed.run_dir / "run.json").read_bytes())["spec"]["snapshot"]["paths"] == ["data/2026-01-02"]
    assert audited(folder).unchanged
    assert not audited(folder, date(2026, 1, 1)).unchanged, "the last run is of another day"
    assert not audited(folder).unchanged

    write_policy(folder, 101)
    assert not audited(folder).unchanged
    assert not audited(folder, excerpts=False).unchanged
    write_shard(folder / "data" / "2026-01-02" / "books" / "more.jsonl", 3)
    assert not audited(folder, excerpts=False).unchanged
    tokenizer = json.loads(bpe.read_bytes())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1))
    assert not audited(folder, excerpts=False).unchanged
    assert audited(folder, excerpts=False).unchanged


def test_incomplete_and_damaged_runs_and_waivers_that_ran_out_are_no_reason_to_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "data" / "2026-01-01" / "web" / "cut.parquet").write_bytes(b"PAR1")
    assert audited(folder).exit_code == 4
    assert not audited(folder).unchanged
    (folder / "data" / "2026-01-01" / "web" / "cut.parquet").unlink()
    whole = audited(folder)
    assert audited(folder).unchanged
    (whole.run_dir / "report.html").write_text("edited")
    assert not audited(folder).unchanged

    today = datetime.now(UTC).date()
    waiver = {
        "id": "W-1", "rule": "small", "slice": "all", "reason": "known for long", "ticket": "T-1", "owner": "ana",
        "approved_by": "bo", "created": str(today), "expires": str(today + timedelta(days=3)),
        "holds_while": {"maximum": 2000},
    }  # fmt: skip
    write_policy(folder, 100, waivers=[waiver])
    assert audited(folder).results is not None
    assert audited(folder).unchanged

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Later:
            return cls(today.year, today.month, today.day, tzinfo=tz) + timedelta(days=4)

    monkeypatch.setattr("corpus_audit.runners.audit.unchanged.datetime", Later)
    assert not audited(folder).unchanged
