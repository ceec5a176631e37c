"""``corpus-audit prune``: what goes, what stays, and that nothing goes unasked or during a run."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.counting.used_partials import UsedPartials
from corpus_audit.runners.audit.baselines import last_passed
from corpus_audit.runners.audit.prune import Keep, plan_pruning
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.process.locks import OutputLock
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.results import Status, Verdict
from tests.checks.indexed_runs import make_run, sign
from tests.checks.report.judged_runs import results

NOW = datetime.now(UTC)
DAYS = 5


def name(age: int) -> str:
    return f"{NOW - timedelta(days=age, hours=1):%Y%m%dT%H%M%SZ}"


NAMES = [name(age) for age in reversed(range(DAYS))]
"""A run a day, oldest first."""


def partial(output: Path, key: str, age: float, size: int = 100) -> Path:
    path = output / ".store" / "partials" / "tokens" / key[:2] / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = (NOW - timedelta(days=age)).timestamp()
    os.utime(path, (then, then))
    return path


def record(output: Path, run: str, *keys: str) -> None:
    store = (output / ".store").resolve()
    UsedPartials(store).record(run, [store / "partials" / "tokens" / key[:2] / key for key in ("common", *keys)])


def set_facts(output: Path, run: str, **spec: Any) -> None:
    facts = json.loads((output / run / "run.json").read_bytes())
    facts["spec"] |= spec
    (output / run / "run.json").write_text(json.dumps(facts))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Five daily runs, each made of a partial of its own and a common one; one partial is of an interrupted run."""
    folder = tmp_path / "runs"
    partial(folder, "common", DAYS)
    for age, run in zip(reversed(range(DAYS)), NAMES, strict=True):
        make_run(folder, run, {"tokens": {"all": 1.0}})
        record(folder, run, f"of-{age}")
        partial(folder, f"of-{age}", age + 0.2)
        then = (NOW - timedelta(days=age)).timestamp()
        os.utime(folder / run / "run.json", (then, then))
    (folder / "LATEST").write_text(f"{NAMES[-1]}\n")
    partial(folder, "interrupted", -0.1)
    return folder


def prune(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run_command(["prune", *map(str, arguments), "--json"], Session()) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def there(output: Path) -> list[str]:
    return sorted(path.name for path in output.glob("2*"))


def partials(output: Path) -> set[str]:
    return {path.name for path in (output / ".store" / "partials").rglob("*") if path.is_file()}


def test_it_says_what_it_would_remove_and_removes_it_when_asked(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = partials(output)
    planned = prune(capsys, output, "--keep-last", 2)
    assert there(output) == NAMES and partials(output) == before
    assert [entry["run"] for entry in planned["runs"]] == NAMES[:3] and not planned["applied"]
    assert planned["partials"] == {"files": 3, "bytes": 300}
    removed_bytes = sum(p.stat().st_size for run in NAMES[:3] for p in (output / run).rglob("*") if p.is_file())
    assert planned["bytes"] == removed_bytes + 300
    done = prune(capsys, output, "--keep-last", 2, "--apply")
    assert done == planned | {"applied": True}
    assert there(output) == NAMES[3:]
    assert partials(output) == {"common", "of-1", "of-0", "interrupted"}
    assert not (output / ".staging").exists() and len(list((output / ".store" / "used").iterdir())) == 2
    again = prune(capsys, output, "--keep-last", 2, "--apply")
    assert (again["runs"], again["bytes"]) == ([], 0)
    assert run_command(["history", "-o", str(output), "--json"], Session()) == 0
    assert [entry["run"] for entry in json.loads(capsys.readouterr().out)["runs"]] == NAMES[3:]


def test_days_and_number_keep_together(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [entry["run"] for entry in prune(capsys, output, "--keep-days", 2)["runs"]] == NAMES[:3]
    assert [entry["run"] for entry in prune(capsys, output, "--keep-days", 2, "--keep-last", 4)["runs"]] == NAMES[:1]
    assert [entry["run"] for entry in prune(capsys, output, "--keep-days", 0)["runs"]] == NAMES[:4], "the newest stays"


def test_signed_runs_and_those_that_are_named_stay(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sign(output, NAMES[0])
    set_facts(output, NAMES[-1], baseline=[{"run": f"runs/{NAMES[1]}", "label": "pinned"}])
    planned = prune(capsys, output, "--keep-last", 1)
    assert [entry["run"] for entry in planned["runs"]] == [NAMES[2], NAMES[3]]
    reasons = {entry["run"]: entry["reason"] for entry in planned["kept"]}
    assert reasons[NAMES[0]] == "signed" and "named by" in reasons[NAMES[1]]

    rule = {"id": "r", "metric": "tokens", "reference": {"kind": "pinned", "run": NAMES[2], "compare": "ratio"}}
    rule |= {"title": "t", "fail": {"minimum": 0.5}, "owner": "o", "rationale": "r", "next_step": "n"}
    (tmp_path / "policy.yaml").write_text(json.dumps({"name": "p", "version": "1", "rules": [rule]}))
    (tmp_path / "good").symlink_to(output / NAMES[3])
    audit = {"name": "n", "snapshot": {"paths": ["data"]}, "tokenizer": "t", "policy": "policy.yaml"}
    audit["baseline"] = {"run": "good"}
    (tmp_path / "audit.yaml").write_text(json.dumps(audit))
    assert prune(capsys, tmp_path / "audit.yaml", "--keep-last", 1)["runs"] == []


def test_a_run_in_the_ledger_stays_though_its_sign_off_is_gone(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (output / "ledger.jsonl").write_text("not a ledger\n")
    assert run_command(["prune", str(output), "--keep-last", "1", "--apply"], Session()) != 0
    assert there(output) == NAMES, "an unreadable ledger says nothing of who signed what"
    monkeypatch.setattr("corpus_audit.runners.audit.prune._signed", lambda output: {NAMES[0]})
    capsys.readouterr()
    assert [entry["run"] for entry in prune(capsys, output, "--keep-last", 1)["runs"]] == NAMES[1:4]


def test_nothing_is_removed_while_a_run_holds_the_lock(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with OutputLock(output):
        assert run_command(["prune", str(output), "--keep-last", "1", "--apply"], Session()) == 6
        assert there(output) == NAMES
        capsys.readouterr()
        assert len(prune(capsys, output, "--keep-last", 1)["runs"]) == 4, "a look needs no lock"


def test_wrong_use(output: Path) -> None:
    assert run_command(["prune", str(output)], Session()) == 2
    assert run_command(["prune", str(output), "--keep-last", "0"], Session()) == 2
    assert run_command(["prune", str(output), "--keep-last", "1", "--apply", "--dry-run"], Session()) == 2
    assert there(output) == NAMES


def test_partials_stay_where_it_is_not_known_who_needs_them(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    UsedPartials(output / ".store").forget(NAMES[2])
    planned = prune(capsys, output, "--keep-last", 3)
    assert planned["partials"]["files"] == 0 and NAMES[2] in planned["left"][0]
    assert prune(capsys, output, "--keep-last", 2)["partials"]["files"] == 3, "that run goes: nobody needs them"

    UsedPartials(output / ".store").share()
    planned = prune(capsys, output, "--keep-last", 1)
    assert planned["partials"]["files"] == 0 and len(planned["runs"]) == 4
    (output / ".store" / "shared").unlink()
    set_facts(output, NAMES[-1], store="/elsewhere")
    assert prune(capsys, output, "--keep-last", 1)["partials"]["files"] == 0


def test_damaged_runs_are_left_alone_and_so_are_partials(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (output / NAMES[0] / "run.json").write_text("{")
    done = prune(capsys, output, "--keep-last", 1, "--apply")
    assert NAMES[0] in done["left"][0] and done["partials"]["files"] == 0
    assert there(output) == [NAMES[0], NAMES[-1]]


@settings(deadline=None)
@given(
    last=st.none() | st.integers(1, DAYS + 1),
    days=st.none() | st.floats(0, DAYS + 1),
    signed=st.sets(st.sampled_from(NAMES)),
    pins=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES)),
)
def test_no_kept_run_loses_what_it_names_or_is_made_of(
    tmp_path_factory: pytest.TempPathFactory,
    last: int | None,
    days: float | None,
    signed: set[str],
    pins: dict[str, str],
) -> None:
    folder = tmp_path_factory.mktemp("kept") / "runs"
    try:
        for age, run in zip(reversed(range(DAYS)), NAMES, strict=True):
            make_run(folder, run, {})
            record(folder, run, f"of-{age}")
            partial(folder, f"of-{age}", age + 0.2)
            if run in pins:
                set_facts(folder, run, baseline={"run": pins[run]})
        for run in signed:
            sign(folder, run)
        plan = plan_pruning(folder, Keep(last, days), NOW)
        kept = plan.kept.keys()
        assert set(NAMES) == kept | plan.runs.keys() and not kept & plan.runs.keys()
        assert signed <= kept and NAMES[-1] in kept and {pins[run] for run in kept & pins.keys()} <= kept
        assert last is None or set(NAMES[-last:]) <= kept
        gone = {run for run in NAMES if run not in kept}
        swept = {entry.path.name for entry in plan.partials}
        assert swept == {f"of-{DAYS - 1 - NAMES.index(run)}" for run in gone}
    finally:
        shutil.rmtree(folder.parent)


def test_the_newest_run_that_passed_stays_and_can_be_a_baseline(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The night after a broken delivery is compared with the last good one (`baseline: {run: runs, passed: true}`)."""
    with pytest.raises(UsageError, match="no run whose verdict is pass or warn"):
        last_passed(output)
    judged = results()
    for run, status in ((NAMES[1], Status.PASS), (NAMES[2], Status.WARN), (NAMES[3], Status.FAIL)):
        judgements = tuple(each for each in judged.judgements if each.status is status)
        facts = {"judgements": judgements, "counts": {status: len(judgements)}, "verdict": Verdict(status.value)}
        shutil.rmtree(output / run)
        make_run(output, run, {"tokens": {"all": 1.0}}, judged=judged.model_copy(update=facts))
    assert last_passed(output).folder.name == NAMES[2]
    planned = prune(capsys, output, "--keep-last", 1)
    assert [entry["run"] for entry in planned["runs"]] == [NAMES[0], NAMES[1], NAMES[3]]
    assert {entry["run"]: entry["reason"] for entry in planned["kept"]}[NAMES[2]] == "the newest that passed"
