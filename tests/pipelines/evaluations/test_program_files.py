"""Files that the programs themselves wrote: lm-evaluation-harness 0.4.13 and Inspect 0.3.285, made once.

The first: ``lm_eval --model dummy --log_samples --seed 11`` on two tasks of six questions and a group of both. The
second: six samples of two epochs answered by ``mockllm``, three of twelve wrongly, scored by ``match``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from corpus_audit.pipelines.evaluations.claims import claims_table
from corpus_audit.pipelines.evaluations.reading import read_evaluation

FILES = Path(__file__).parent / "program_files"


def test_lm_eval_states_what_its_items_give() -> None:
    folder = FILES / "lm_eval_0.4.13"
    rows = {(row["task"], row["metric"]): row for row in claims_table(read_evaluation(folder), "a").to_pylist()}
    assert {row["outcome"] for row in rows.values()} == {"agrees"}
    (results,) = (json.loads(path.read_text()) for path in folder.glob("results_*.json"))
    assert set(rows) == {
        ("fixture", "acc"),
        *((f"fixture_{name}", metric) for name in "ab" for metric in ("acc", "acc_norm")),
    }
    for (task, metric), row in rows.items():
        stated = results["groups" if task == "fixture" else "results"][task]
        assert row["recomputed"] == pytest.approx(stated[f"{metric},none"], abs=1e-12), task
        assert row["recomputed_error"] == pytest.approx(stated[f"{metric}_stderr,none"], abs=1e-12), task
    pooled = np.hypot(rows["fixture_a", "acc"]["recomputed_error"], rows["fixture_b", "acc"]["recomputed_error"]) / 2
    assert rows["fixture", "acc"]["recomputed_error"] == pytest.approx(pooled, abs=1e-12)


def test_inspect_states_what_its_items_give() -> None:
    evaluation = read_evaluation(FILES / "inspect_0.3.285.eval")
    (file,) = evaluation.files
    assert (file.rows, file.dead_letters, file.reason) == (12, 0, None)
    rows = claims_table(evaluation, "a").to_pylist()
    assert rows and {row["outcome"] for row in rows} == {"agrees"}
    accuracy = next(row for row in rows if row["recomputed"] is not None)
    assert accuracy["recomputed"] == 0.75 and accuracy["items"] == 6
