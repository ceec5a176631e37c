"""Whole investigations of public logs and evaluations: every sentence that their sources allow, and few others.

In the folder that the environment variable CORPUS_AUDIT_INVESTIGATION names: golden values of NVIDIA/Megatron-LM
(losses of one recipe on two kinds of hardware), test runs of janosh/tensorboard-reducer, results of Pythia's 160M
model, models of Gadre et al. (2024), items of alpaca_eval, and Docent's log.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session

FOLDER = Path(os.environ.get("CORPUS_AUDIT_INVESTIGATION", "") or "/nowhere")
GOLDEN = "megatron-golden/{}_release__golden_values_{}.json"
MIXTRAL, GPT3 = "mixtral__mixtral_8x7b_alltoall_tp2pp4ep4", "gpt__gpt3_15b_8t"
HARDWARE = {"h100": "dev_dgx_h100", "a100": "lts_dgx_a100"}
ALARMS = ("spike", "shift", "divergence", "nan", "schedule")
STEPS = (1000, 13000, 63000, 143000)


def sample(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"the files are not here: CORPUS_AUDIT_INVESTIGATION names no folder with {name}")
    return path


def investigated(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """Findings by id, and the page."""
    (folder / "i.yaml").write_text("version: 1\nname: x\n" + text)
    capsys.readouterr()
    assert run_command(["investigate", str(folder / "i.yaml"), "--json"], Session()) == 0
    payload = json.loads(capsys.readouterr().out)
    page = (Path(payload["folder"]) / "report.html").read_text("utf-8")
    return {each["id"]: each for each in payload["findings"]}, page


def twins(recipe: str) -> str:
    paths = {name: sample(GOLDEN.format(recipe, hardware)) for name, hardware in HARDWARE.items()}
    (first, path), (second, other) = paths.items()
    return (
        f"runs:\n  - {{id: {first}, telemetry: [{json.dumps(str(path))}]}}\n"
        f"  - {{id: {second}, telemetry: [{json.dumps(str(other))}], same_order_as: {first}}}\n"
    )


def test_spikes_of_mixtral_are_not_explained_by_the_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "law.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow(["run", "parameters", "tokens", "loss"])
        for path in sorted(sample("scaling/exp_data/models").glob("c4_original*.json")):
            model = json.loads(path.read_text())
            losses = {each["val_data"][0].split("/")[-2]: each["loss"] for each in model["results"]}
            settings = model["hyperparameters"]
            rows.writerow([path.stem, settings["params"], settings["tokens"], losses["c4_val"]])
    evals = "".join(
        f"  - {{run: h100, step: {step}, paths: [{json.dumps(str(sample(f'pythia/160m_step{step}.json')))}]}}\n"
        for step in STEPS
    )
    law = "scaling: {runs: law.csv, holdout: c4_original-open_lm_7b-1.0}\n"
    text = twins(MIXTRAL) + "evals:\n" + evals + "primary: [lambada_openai, piqa]\n" + law
    findings, page = investigated(tmp_path, text, capsys)
    for run, other, steps in (("h100", "a100", (3800, 3850, 4260)), ("a100", "h100", (4055,))):
        for step in steps:
            spike, cause = findings[f"{run}.spike.{step}"], findings[f"{run}.cause.{step}"]
            states = {each["what"]: each for each in spike["explanations"]}
            batch = states["the batch of this step alone"]
            assert spike["reading"] == "shown" and batch["state"] == "ruled out"
            assert batch["figure"].startswith(f"{other} drew the same batch")
            assert states["chance"]["state"] == "ruled out"
            assert cause["reading"] == "not shown" and cause["detail"].startswith("no cause in the data alone")
    rows = findings["a100.spike.4055"]["evidence"]
    assert [row["step"] for row in rows] == [4050, 4055]
    assert findings["a100.twin"]["reading"] == "shown" and findings["a100.twin"]["effect"]["low"] > 0.3
    assert not any("caused" in json.dumps(each) for each in findings.values())
    assert len(page.encode()) < 2e6 and page.count("<svg") > 14
    headings = [each.partition("</h2>")[0] for each in page.split("<h2>")[1:]]
    assert headings[:2] == ["h100", "a100"] and headings[-1] == "What could not be asked"
    assert {"Spikes", "Evaluations", "Scaling law", "What is shown"} <= set(headings)


def test_clean_curves_have_at_most_two_alarms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings, _ = investigated(tmp_path, twins(GPT3), capsys)
    alarms = [name for name, each in findings.items() if each["reading"] == "shown" and name.split(".")[1] in ALARMS]
    assert len(alarms) <= 2
    assert findings["a100.twin"]["reading"] == "shown" and findings["a100.twin"]["effect"]["low"] > 0.98


def test_a_truncated_file_is_flagged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = sample("tfevents/tests/runs/duplicate_steps/run_1").iterdir()
    whole = path.read_bytes()
    (tmp_path / path.name).write_bytes(whole[: len(whole) * 2 // 3])
    findings, _ = investigated(tmp_path, f"runs: [{{id: now, telemetry: [{json.dumps(path.name)}]}}]\n", capsys)
    assert findings["now.logs"]["reading"] == "shown" and "truncated" in findings["now.logs"]["excluded"]
    assert findings["now.logs"]["evidence"][0]["offset"] > 0


def test_nine_items_are_not_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with gzip.open(sample("alpaca_eval/items.csv.gz"), "rt") as file:
        rows = list(csv.DictReader(file))
    models = sorted({row["model"] for row in rows})[:2]
    for number, model in enumerate(models):
        (tmp_path / str(number)).mkdir()
        with (tmp_path / str(number) / "alpaca.csv").open("w") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows([row for row in rows if row["model"] == model][:9])
    evals = "".join(f"  - {{run: now, step: {number + 1}, paths: [{number}/alpaca.csv]}}\n" for number in range(2))
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2}\n{"step": 2, "loss": 1.9}\n')
    findings, _ = investigated(tmp_path, "runs: [{id: now, telemetry: [log.jsonl]}]\nevals:\n" + evals, capsys)
    (compared,) = [each for name, each in findings.items() if name.startswith("now.evals.2.") and each["n"]]
    assert compared["reading"] == "not enough data" and "9 paired items, and 10 are needed" in compared["detail"]


def test_a_header_that_claims_790_of_15_samples_is_flagged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docent = json.dumps(str(sample("docent")))
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2}\n{"step": 2, "loss": 1.9}\n')
    evals = f"evals:\n  - {{run: now, step: 1, paths: [{docent}]}}\n  - {{run: now, step: 2, paths: [{docent}]}}\n"
    findings, page = investigated(tmp_path, "runs: [{id: now, telemetry: [log.jsonl]}]\n" + evals, capsys)
    claims = findings["now.evals.1.files"]
    assert claims["reading"] == "shown" and "790" in json.dumps(claims) and "15" in json.dumps(claims)
    assert "the header says 790 samples, the file holds 15" in page
