"""Evaluation files of public projects: what their programs and papers say of them is what is read and computed.

In the folder that the environment variable CORPUS_AUDIT_INVESTIGATION names: results of lm-evaluation-harness (0.3 of
Pythia's 160M model, 0.4 of a dummy model), logs of Inspect and Docent, HELM, SWE-agent, tau-bench and alpaca_eval.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from corpus_audit.pipelines.evaluations.behaviour.compare import with_behaviour
from corpus_audit.pipelines.evaluations.claims import claims_table
from corpus_audit.pipelines.evaluations.comparison import Side, compare
from corpus_audit.pipelines.evaluations.reading import read_evaluation
from corpus_audit.pipelines.statistics.evaluations.aggregates import published_error
from corpus_audit.pipelines.statistics.evaluations.paired import mean_with_error

FOLDER = os.environ.get("CORPUS_AUDIT_INVESTIGATION", "")


@pytest.fixture(scope="module")
def folder() -> Path:
    path = Path(FOLDER)
    if not FOLDER or not (path / "tau-bench").is_dir():
        pytest.skip("the files are not here: CORPUS_AUDIT_INVESTIGATION names no folder with tau-bench and others")
    return path


def test_tau_bench_has_the_passes_of_its_paper(folder: Path) -> None:
    side = Side(read_evaluation(folder / "tau-bench"))
    rows = compare(side, side).tables["evaluation_passes"].to_pylist()
    passes = {row["k"]: row for row in rows if row["side"] == "a" and row["kind"] == "pass^k"}
    assert [round(passes[k]["rate"], 3) for k in range(1, 5)] == [0.42, 0.273, 0.22, 0.2]
    assert passes[1]["error"] == pytest.approx(0.052, abs=5e-4)
    items = side.evaluation.items
    clustered = mean_with_error(items["score"].to_numpy(), np.array(items["item"].to_pylist()))
    assert clustered.error == pytest.approx(0.052, abs=5e-4)
    assert np.sqrt(0.42 * 0.58 / 200) == pytest.approx(0.035, abs=5e-4)
    assert set(items["task"].to_pylist()) == {"tau-bench airline"}


def test_two_halves_of_tau_bench_do_not_differ_and_part_by_chance(folder: Path) -> None:
    whole = read_evaluation(folder / "tau-bench")
    first = pc.less_equal(whole.items["epoch"], 2)
    halves = []
    for late in (False, True):
        attempts = [replace(t, epoch=t.epoch - 2 * late) for t in whole.trajectories if (t.epoch > 2) == late]
        items = whole.items.filter(pc.invert(first) if late else first)
        halves.append(Side(replace(whole, items=items, trajectories=tuple(attempts))))
    tables = with_behaviour([(halves[0], halves[1])], [compare(*halves)])[0].tables
    assert len(whole.trajectories) == 200 and tables["evaluation_partings"].num_rows == 100
    for name in ("evaluation_usage", "evaluation_paths", "evaluation_pass_differences", "evaluation_differences"):
        assert tables[name].num_rows and set(tables[name]["reading"].to_pylist()) == {"not shown"}
    passes = {row["kind"]: row for row in tables["evaluation_pass_differences"].to_pylist()}
    assert (passes["pass^k"]["value_a"], passes["pass^k"]["value_b"]) == (0.24, 0.26)
    assert sum(sum(each.errors.values()) for each in whole.trajectories) == 73
    with gzip.open(folder / "tau-bench" / "gpt-4o-airline.json.gz") as file:
        results = json.load(file)
    row = next(row for row in tables["evaluation_partings"].to_pylist() if row["location_a"] is not None)
    result = results[int(row["unit_a"].split()[1].strip(",")) - 1]
    call = result["traj"][row["location_a"] - 1]["tool_calls"][0]["function"]["name"]
    assert row["action_a"].startswith(f"{call}(") and str(result["task_id"]) == row["item"]


def test_all_57_models_of_alpaca_eval_have_their_win_rate_and_error(folder: Path) -> None:
    items = read_evaluation(folder / "alpaca_eval" / "items.csv.gz").items
    with (folder / "alpaca_eval" / "leaderboard.csv").open() as file:
        board = {row[""]: row for row in csv.DictReader(file)}
    equal = 0
    for model in pc.unique(items["model"].cast("string")).to_pylist():
        score = items.filter(pc.equal(items["model"].cast("string"), model))["score"].to_numpy()
        figures = 100 * score.mean(), 100 * published_error(score)
        stated = float(board[model]["win_rate"]), float(board[model]["standard_error"])
        equal += np.allclose(figures, stated, rtol=0, atol=1e-6)
    assert equal == 57


def test_docents_log_claims_790_samples_and_holds_15(folder: Path) -> None:
    evaluation = read_evaluation(folder / "docent")
    assert [remark.text for remark in evaluation.remarks] == ["the header says 790 samples, the file holds 15"]
    (row,) = claims_table(evaluation, "a").to_pylist()
    assert row["outcome"] == "differs" and (row["claimed_items"], row["items"]) == (790, 15)


def test_lm_eval_claims_are_what_the_items_give(folder: Path) -> None:
    evaluation = read_evaluation(folder / "generated" / "lm_eval_0.4.13_dummy")
    rows = claims_table(evaluation, "a").to_pylist()
    assert [row["outcome"] for row in rows] == ["agrees"] * 5
    errors = {(row["task"], row["metric"]): row["recomputed_error"] for row in rows}
    assert errors["toy_a", "acc"] == pytest.approx(0.075, abs=1e-15)
    assert errors["toy", "acc"] == pytest.approx(0.0300428615383382, abs=1e-15)


def test_a_failed_run_with_zstd_members_is_read(folder: Path) -> None:
    evaluation = read_evaluation(folder / "generated" / "inspect_0.3.285_status_error_zstd.eval")
    (outcome,) = evaluation.files
    assert (outcome.rows, outcome.items, outcome.dead_letters, outcome.reason) == (27, 0, 27, None)
    assert {reason for _, reason in evaluation.dead_counts} == {"sample failed"}
    assert "failed run" in {remark.what for remark in evaluation.remarks}


def test_checkpoints_of_pythia_have_the_sizes_of_their_benchmarks(folder: Path) -> None:
    first, last = (Side(read_evaluation(folder / "pythia" / f"160m_step{step}.json")) for step in (1000, 143000))
    rows = {
        (row["task"], row["metric"]): row for row in compare(first, last).tables["evaluation_differences"].to_pylist()
    }
    sizes = {
        "arc_easy": 2376,
        "arc_challenge": 1172,
        "winogrande": 1267,
        "piqa": 1838,
        "sciq": 1000,
        "lambada_openai": 5153,
    }
    assert {task: rows[task, "acc"]["items"] for task in sizes} == sizes
    shown = {task for task in sizes if rows[task, "acc"]["reading"] == "shown"}
    assert shown == {"arc_easy", "piqa", "sciq", "lambada_openai"}
    assert rows["lambada_openai", "ppl"]["reason"].startswith("b scores 2553 less than a, better")


@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("every_eval_ever/tests/data/helm", {"HELM per-instance statistics": (25, 190, 0)}),
        ("swe-agent", {"SWE-agent trajectory": (12, 12, 0)}),
        ("inspect", {"Inspect archive": (31, 21, 10), "Inspect log": (5, 4, 1)}),
    ],
)
def test_every_row_is_counted(folder: Path, part: str, counts: dict[str, Any]) -> None:
    totals: dict[str, list[int]] = {}
    for outcome in read_evaluation(folder / part).files:
        if outcome.format is not None:
            total = totals.setdefault(outcome.format, [0, 0, 0])
            for index, value in enumerate((outcome.rows, outcome.items, outcome.dead_letters)):
                total[index] += value
    assert {name: tuple(total) for name, total in totals.items()} == counts


def test_inspect_logs_agree_with_their_results_where_they_hold_all_samples(folder: Path) -> None:
    evaluation = read_evaluation(folder / "inspect")
    rows = claims_table(evaluation, "a").to_pylist()
    differing = [row["file"].rpartition("/")[2] for row in rows if row["outcome"] == "differs"]
    assert len(rows) == 14 and differing == []
    streaming = next(row for row in rows if "log_streaming" in row["file"])
    assert (streaming["claimed_items"], streaming["items"], streaming["outcome"]) == (4, 2, "agrees")
