"""What figures are compared with: runs of an output folder, and every way in which there is nothing to compare with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.checks.history.references import EarlierRuns, resolve_references
from corpus_audit.checks.policy.judge import References
from corpus_audit.schemas.run.results import Reference
from corpus_audit.schemas.run.run_file import RunFile
from tests.checks.indexed_runs import make_run
from tests.checks.policies import fact, metrics, policy, rule
from tests.checks.signoff.world import sign_made_run
from tests.run_files import digest, run_record

DAYS = [f"202611{day:02d}T060000Z" for day in range(1, 8)]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    for day, value in zip(DAYS, (0.10, 0.11, 0.09, 0.10, 0.12, 0.10, 0.50), strict=True):
        make_run(tmp_path / "runs", day, {"m": {"all": value}})
    return tmp_path / "runs"


def facts(output: Path, **more: Any) -> RunFile:
    earlier = json.loads((output / DAYS[0] / "run.json").read_bytes())
    return run_record(**earlier | {"run": "now"} | more)


def look_up(output: Path, reference: dict[str, Any], run: RunFile | None = None, **more: Any) -> Reference:
    given = {"facts": run or facts(output), "policy_base": output.parent, "audit_base": output.parent} | more
    loaded = policy(rule(reference=reference))
    return all_of(loaded, EarlierRuns(output, **given)).figures["r", "all"]


def all_of(loaded: Any, earlier: EarlierRuns) -> References:
    return resolve_references(loaded.policy, metrics(fact()), earlier)


LAST = {"kind": "last_signed", "compare": "difference"}


@pytest.mark.parametrize("run", ["runs/" + DAYS[1], DAYS[1]])
def test_a_pinned_run_is_found_beside_the_policy_and_in_the_output_folder(output: Path, run: str) -> None:
    result = look_up(output, {"kind": "pinned", "compare": "ratio", "run": run})
    assert (result.kind, result.run, result.value, result.compare) == ("pinned", DAYS[1], 0.11, "ratio")
    assert (result.low, result.high) == pytest.approx((0.099, 0.121))


def test_a_pinned_run_may_be_a_baseline_of_the_audit(output: Path) -> None:
    spec = {"document": {"text": "text"}, "baseline": [{"run": "runs", "label": "ref"}]}
    baseline = {"label": "ref", "run": DAYS[2], "name": "n", "snapshot": digest("s"), "documents": digest("d")}
    run = facts(output, spec=spec, baselines=[baseline])
    for name in ("baseline", "baseline=ref"):
        result = look_up(output, {"kind": "pinned", "compare": "ratio", "run": name}, run)
        assert (result.run, result.value) == (DAYS[2], 0.09)
    result = look_up(output, {"kind": "pinned", "compare": "ratio", "run": "baseline=other"}, run)
    assert result.reason == "The audit has no baseline other."
    result = look_up(output, {"kind": "pinned", "compare": "ratio", "run": "baseline"})
    assert result.reason == "The audit has no baseline." and result.value is None


def test_the_last_signed_run_is_the_newest_before(output: Path) -> None:
    assert look_up(output, LAST).reason == "No run before this one is signed."
    sign_made_run(output, DAYS[0])
    sign_made_run(output, DAYS[3])
    assert look_up(output, LAST).run == DAYS[3]
    assert look_up(output, LAST, before=DAYS[3]).run == DAYS[0]


def test_a_sign_off_that_waits_for_approvals_is_none_yet(output: Path) -> None:
    sign_made_run(output, DAYS[0])
    sign_made_run(output, DAYS[2], signers=("nightly",))
    sign_made_run(output, DAYS[3], signers=("nightly", "bo"), required=2)
    assert look_up(output, LAST).run == DAYS[0]
    sign_made_run(output, DAYS[3], signers=("nightly", "bo", "cy"), required=2)
    assert look_up(output, LAST).run == DAYS[3]


DAMAGE = {
    "envelope": "is missing or damaged",
    "no sign-off": "is missing or damaged",
    "exchanged": "differs from the one in the ledger",
    "ledger": "The last signed run cannot be determined",
    "run.json": "differs from what was signed",
    "metrics": "is damaged",
    "gone": "is missing or damaged",
    "no figure": "has no such figure",
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_damaged_signed_run_is_no_reference_and_no_older_one_is(output: Path, damage: str) -> None:
    sign_made_run(output, DAYS[0])
    sign_made_run(output, DAYS[3])
    run = output / DAYS[3]
    if damage == "envelope":
        (output / "signoffs" / f"{DAYS[3]}.dsse.json").write_bytes(b"{}")
    elif damage == "no sign-off":
        (output / "signoffs" / f"{DAYS[3]}.dsse.json").unlink()
    elif damage == "exchanged":
        (output / "signoffs" / f"{DAYS[0]}.dsse.json").replace(output / "signoffs" / f"{DAYS[3]}.dsse.json")
    elif damage == "ledger":
        (output / "ledger.jsonl").write_bytes((output / "ledger.jsonl").read_bytes()[:-9])
    elif damage == "run.json":
        (run / "run.json").write_bytes((run / "run.json").read_bytes() + b" ")
    elif damage == "metrics":
        (run / "tables" / "metrics.parquet").write_bytes(b"PAR1")
    elif damage == "gone":
        run.rename(output.parent / "elsewhere")
    elif damage == "no figure":
        make_run(output, "20261104T070000Z", {"other": {"all": 1.0}})
        sign_made_run(output, "20261104T070000Z")
    result = look_up(output, LAST)
    assert result.value is None and result.reason.endswith(".")
    assert DAMAGE[damage] in result.reason


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"tokenizer": {"sha256": "00" * 32}}, "was counted with another tokenizer"),
        ({"spec": {"document": {"text": "body"}}}, "was read in another way"),
    ],
)
def test_runs_that_were_counted_otherwise_are_not_comparable(output: Path, more: dict[str, Any], reason: str) -> None:
    sign_made_run(output, DAYS[3])
    run = facts(output, **more)
    assert reason in look_up(output, LAST, run).reason
    assert reason in look_up(output, {"kind": "pinned", "compare": "ratio", "run": DAYS[0]}, run).reason
    band = look_up(output, {"kind": "band", "compare": "spread"}, run)
    assert band.value is None and band.reason.startswith("0 comparable earlier runs")


def test_a_band_is_the_median_and_robust(output: Path) -> None:
    result = look_up(output, {"kind": "band", "compare": "spread", "runs": 7})
    # Sorted 0.09 0.10 0.10 0.10 0.11 0.12 0.50: the median is 0.10, deviations 0 0 0 0.01 0.01 0.02 0.40.
    assert (result.value, result.runs) == (0.10, 7)
    assert result.low is not None and result.high is not None
    assert (result.low, result.high) == pytest.approx((0.10 - 0.014826, 0.10 + 0.014826))


def test_a_band_of_too_few_runs_is_none(output: Path) -> None:
    result = look_up(output, {"kind": "band", "compare": "spread", "runs": 20, "minimum_runs": 8})
    assert result.reason == "7 comparable earlier runs have the figure; the band needs 8."
    few = look_up(output, {"kind": "band", "compare": "spread", "runs": 20}, before=DAYS[3])
    assert few.reason.startswith("3 comparable earlier runs")
