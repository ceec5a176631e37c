"""Investigations of evaluations alone: from `init` to the page; safety, seeds, noise of checkpoints; mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pyarrow.parquet as pq
import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.investigation.evaluation_proposal import propose_models
from corpus_audit.schemas.spec.investigation_file import load_investigation
from tests.pipelines.evaluations import making
from tests.pipelines.evaluations.behaviour.attempts import tau_result

GOOD = [float(item % 3 > 0) for item in range(200)]
BAD = [0.0 if item < 40 else score for item, score in enumerate(GOOD)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two models: a benchmark, an agent with two attempts a task, and graded answers to harmful requests."""
    root = tmp_path_factory.mktemp("models")
    generator = np.random.default_rng(1)
    for name, scores, hits, long in (("base", GOOD, 0, 2), ("tuned", BAD, 12, 4)):
        folder = root / "evals" / name
        making.lm_eval_run(folder, {"reading": scores})
        grades = [{"task": "requests", "id": item, "metric": "grade", "score": 2 * (item < hits)} for item in range(60)]
        making.write_lines(folder / "graded.jsonl", grades)
        results = [
            tau_result(task, trial, float(generator.random() < 0.5), ["look"] * (long + int(generator.integers(2))))
            for task in range(20)
            for trial in (0, 1)
        ]
        making.write_json(folder / "tau.json", results)
    return root


def published(folder: Path) -> tuple[Path, dict[str, dict[str, Any]]]:
    run = folder / (folder / "LATEST").read_text().strip()
    return run, {each["id"]: each for each in json.loads((run / "findings.json").read_text())["findings"]}


def test_two_folders_of_evaluations_become_findings_and_a_page(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = models / "investigation.yaml"
    assert run_command(["investigate", "init", str(models / "evals"), "-o", str(path), "--json"], Session()) == 0
    assert [each["run"] for each in json.loads(capsys.readouterr().out)["evals"]] == ["base", "tuned"]
    spec = load_investigation(path).spec
    assert (spec.runs, [(each.run, each.step, each.paths) for each in spec.evals]) == (
        (),
        [("base", 0, ("evals/base",)), ("tuned", 0, ("evals/tuned",))],
    )
    path.write_text(path.read_text() + 'safety: {harm: ["requests:grade=2"]}\n')
    assert run_command(["investigate", str(path)], Session()) == 0
    run, findings = published(models / "investigations")
    prefix = "tuned.evals.against.base"
    reading = findings[f"{prefix}.reading:acc"]
    assert reading["reading"] == "shown" and reading["claim"] == "tuned scores otherwise than base on reading:acc"
    assert not any("checkpoints" in each["what"] or "steps" in each["what"] for each in reading["explanations"])
    harm = findings[f"{prefix}.safety.harm.requests:grade"]
    assert harm["reading"] == "shown" and harm["effect"]["value"] == pytest.approx(0.2)
    assert "A harmful answer is counted where the score = 2; text is not looked at" in harm["limits"]
    assert any(limit.startswith("base: 0 of 60 answers, 0 [0, 0.05963") for limit in harm["limits"])
    first = harm["evidence"][0]
    assert first["shown"] == "item 0 counts in tuned (score 2), and not in base (0)"
    assert first["file"] == "evals/tuned/graded.jsonl" and (first["unit"], first["offset"]) == ("row", 1)
    steps = findings[f"{prefix}.usage.tau-bench retail:steps"]
    assert steps["reading"] == "shown" and steps["effect"]["unit"] == "times" and steps["effect"]["low"] > 1
    assert findings[f"{prefix}.passes.tau-bench retail:reward,pass^2"]["n"] == 20
    evidence = findings[f"{prefix}.path.tau-bench retail"]["evidence"]
    assert evidence[0]["file"].endswith("evals/base/tau.json") and evidence[0]["unit"].startswith("result ")
    assert pq.read_table(run / "tables" / "evaluation_safety.parquet")["events"].to_pylist() == [0, 12]
    page = html5lib.parse((run / "report.html").read_text(encoding="utf-8"), namespaceHTMLElements=False)
    captions = ["".join(node.itertext()) for node in page.iter("caption")]
    assert captions == [
        "Evaluations of two models",
        "Rates",
        "Differences in rates",
        "Chances",
        "Differences in chances",
        "What attempts spend, and their errors",
        "Where attempts part",
    ]


def test_compare_prints_and_gives_the_same(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["investigate", "compare", str(models / "evals/base"), str(models / "evals/tuned"), "--harm", "grade=2"]
    assert run_command(arguments, Session()) == 0
    out = capsys.readouterr().out
    for words in (
        "a harm, requests grade: 0 of 60 answers (score = 2): 0 [0, 0.05963]",
        "harm, requests grade (60 items): shown: 0.2 in b, 0 in a: +0.2",
        "pass^2, tau-bench retail reward (20 items): not shown",
        "tau-bench retail steps (20 items): ",
        "tau.json, result 1, message",
        "standard error: items ",
    ):
        assert words in " ".join(out.split())
    assert max(map(len, out.splitlines()[2:])) <= 80
    assert run_command([*arguments, "--json"], Session()) == 0
    document = json.loads(capsys.readouterr().out)
    assert {row["side"]: row["events"] for row in document["safety"]} == {"a": 0, "b": 12}
    assert "evals.safety.harm.requests:grade" in {each["id"] for each in document["findings"]}
    assert run_command([*arguments, "--refusal", "graed=2"], Session()) == 2
    assert "refusal graed: no evaluation has this metric; did you mean grade" in capsys.readouterr().err


def test_noise_of_checkpoints_and_seeds_is_another_explanation(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    hard = generator.random(300)
    evals = []
    for run, fall in (("one", 0.3), ("two", 0.0), ("three", 0.0)):
        for step in range(1, 9):
            skill = 0.3 + 0.03 * step + generator.normal(0, 0.02) - fall * (step == 8)
            making.lm_eval_run(tmp_path / run / f"step{step}", {"t": (hard < skill).astype(float).tolist()})
            evals.append(f"  - {{run: {run}, step: {step}, paths: [{run}/step{step}]}}\n")
    head = "version: 1\nname: x\nseeds: [one, two, three]\nevals:\n"
    (tmp_path / "i.yaml").write_text(head + "".join(evals))
    assert run_command(["investigate", str(tmp_path / "i.yaml")], Session()) == 0
    run, findings = published(tmp_path / "investigations")
    fall = findings["one.evals.8.t:acc"]
    states = {each["what"]: each["state"] for each in fall["explanations"]}
    assert states["scores of neighbouring checkpoints vary as much"] == "ruled out"
    assert states["another seed of the same training differs as much"] == "not ruled out"
    assert any(
        limit.startswith("On top of the error over items comes that of neighbouring") for limit in fall["limits"]
    )
    between = findings["three.evals.against.two.t:acc"]
    states = {each["what"]: each["state"] for each in between["explanations"]}
    assert states["scores of neighbouring checkpoints vary as much"] == "not ruled out"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "After a semicolon: with the noise between neighbouring checkpoints" in page
    rows = pq.read_table(run / "tables" / "evaluation_differences.parquet").to_pylist()
    row = next(row for row in rows if (row["run_b"], row["step_b"], row["run_a"]) == ("one", 8, "one"))
    assert f">{row['mde']:.3f}; {row['mde_all']:.3f}<" in page
    assert all(row["mde_all"] > row["mde"] for row in rows if row["error_checkpoints"] and row["mde"] is not None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "runs or evals: an investigation needs one of them"),
        ("evals: [{run: a, paths: [a]}]\n", "evals has one evaluation"),
        ("evals: [{run: a, paths: [a]}, {run: a, paths: [b]}]\n", "evals has step 0 of a twice"),
        ("evals: [{run: a, paths: [a]}, {run: b, paths: [b]}]\nevents: [{step: 1, what: x}]\n", "events needs runs"),
        ("evals: [{run: a, paths: [a]}, {run: b, paths: [b]}]\nseeds: [a, b, c]\n", "seeds: 'c' has no evaluation"),
        (
            "evals: [{run: a, paths: [a]}, {run: b, paths: [b]}]\nseeds: [a]\n",
            "seeds: name three or more different runs",
        ),
        (
            "evals: [{run: a, paths: [i.yaml]}, {run: b, paths: [i.yaml]}]\n",
            "the evaluation of a holds no scores that could be read",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    (tmp_path / "i.yaml").write_text("version: 1\nname: x\n" + text)
    assert run_command(["investigate", str(tmp_path / "i.yaml")], Session()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "proposed"),
    [
        (["e/a/m/r.json", "e/a/m/s.jsonl", "e/b/m/s.jsonl"], [("a", 0, "e/a"), ("b", 0, "e/b")]),
        (["e/step10/s.jsonl", "e/step20/s.jsonl"], [("e", 10, "e/step10"), ("e", 20, "e/step20")]),
        (["e/a/step1/s.jsonl", "e/b/step2/s.jsonl"], [("a", 1, "e/a/step1"), ("b", 2, "e/b/step2")]),
        (["x/a/one/s.jsonl", "x/a/two/s.jsonl", "x/b/s.jsonl"], [("a", 0, "x/a"), ("b", 0, "x/b")]),
        (["../q/A b/s.jsonl", "../q/A?b/s.jsonl"], [("A-b", 0, "../q/A b"), ("A-b-2", 0, "../q/A?b")]),
        (["s.jsonl"], [("s.jsonl", 0, "s.jsonl")]),
    ],
)
def test_folders_name_models(files: list[str], proposed: list[tuple[str, int, str]]) -> None:
    proposals = propose_models([(file, "lm-eval") for file in files])
    assert [(each.run, each.step, each.path) for each in proposals] == proposed


def test_two_logs_in_one_folder_are_two_models() -> None:
    proposals = propose_models([("logs/x.eval", "Inspect archive"), ("logs/y.eval", "Inspect archive")])
    assert [(each.run, each.path) for each in proposals] == [("x.eval", "logs/x.eval"), ("y.eval", "logs/y.eval")]
