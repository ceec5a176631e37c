"""``investigate FILE`` with evaluations: what is compared, how p is adjusted, tables, page, mistakes in the spec."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import html5lib
import pyarrow.parquet as pq
import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.investigation.evaluation_proposal import KnownRun, propose_evaluations
from corpus_audit.schemas.spec.investigation_file import load_investigation
from corpus_audit.schemas.tables.investigation.evaluation_tables import INVESTIGATION_EVALUATION_TABLES
from tests.pipelines.evaluations import making

BEFORE = [float(item % 3 > 0) for item in range(400)]
WORSE = [0.0 if item < 60 else score for item, score in enumerate(BEFORE)]
OTHER = [1 - score if item in (7, 90, 200) else score for item, score in enumerate(BEFORE)]

SPEC = """version: 1
name: reading fell
runs: [{id: now, telemetry: [now.jsonl]}, {id: twin, telemetry: [twin.jsonl]}]
evals:
  - {run: now, step: 40, paths: [evals/now/step40/]}
  - {run: now, step: 10, paths: ["evals/now/step1*"]}
  - {run: now, step: 20, paths: [evals/now/step20/m]}
  - {run: twin, step: 20, paths: [evals/twin/step20]}
primary: [reading]
cluster: {reading: doc.passage}
contamination: {list: dirty.jsonl}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of 60 steps; the reading of one falls after step 20, and its first 50 items are contaminated."""
    root = tmp_path_factory.mktemp("evaluated")
    for name in ("now", "twin"):
        making.write_lines(root / f"{name}.jsonl", [{"step": step, "loss": 3 - step / 100} for step in range(60)])
    for name, scores in (("now/step10", OTHER), ("now/step20", BEFORE), ("now/step40", WORSE), ("twin/step20", BEFORE)):
        making.lm_eval_run(root / "evals" / name, {"reading": scores, "maths": scores[300:340]})
    making.write_lines(root / "dirty.jsonl", [{"task": "reading", "id": item} for item in range(50)])
    (root / "i.yaml").write_text(SPEC)
    return root


@pytest.fixture(scope="module")
def published(folder: Path) -> tuple[Path, dict[str, Any]]:
    assert run_command(["investigate", str(folder / "i.yaml")], Session()) == 0
    output = folder / "investigations"
    run = output / (output / "LATEST").read_text().strip()
    findings = json.loads((run / "findings.json").read_text())["findings"]
    return run, {finding["id"]: finding for finding in findings if ".evals." in finding["id"]}


def test_consecutive_steps_and_the_last_steps_of_two_runs_are_compared(published: tuple[Path, dict[str, Any]]) -> None:
    findings = published[1]
    measures = ("reading:acc", "maths:acc")
    pairs = ("now.evals.20", "now.evals.40", "twin.evals.against.now")
    files = {f"{run}.evals.{step}.files" for run, step in (("now", 10), ("now", 20), ("now", 40), ("twin", 20))}
    assert set(findings) - files == {f"{pair}.{measure}" for pair in pairs for measure in measures}
    assert {findings[name]["reading"] for name in files} == {"not shown"}
    fall = findings["now.evals.40.reading:acc"]
    assert (fall["bucket"], fall["reading"], fall["family"], fall["n"]) == ("capabilities", "shown", "primary", 400)
    assert fall["detail"].startswith("step 40 scores 0.1 less than step 20, worse")
    assert fall["window"] == {"run": "now", "first": 20, "last": 40}
    states = {explanation["what"]: explanation["state"] for explanation in fall["explanations"]}
    assert states["items depend on each other, which makes p too small"] == "ruled out"
    assert states["the training data hold some of the items"] == "not ruled out"
    assert any("would be detected with 80 % power" in limit for limit in fall["limits"])
    between = findings["twin.evals.against.now.reading:acc"]
    assert between["effect"]["value"] == pytest.approx(0.1) and between["detail"].startswith("twin scores 0.1 more")
    steps = next(e for e in between["explanations"] if e["what"] == "the runs are compared at different steps")
    assert steps == {**steps, "state": "not ruled out", "figure": "step 20 of twin, step 40 of now"}


def test_p_is_adjusted_over_all_comparisons(published: tuple[Path, dict[str, Any]]) -> None:
    """Holm by hand: the smallest of three p is tripled, and a later one is never below it."""
    primary = sorted((f["p"], f["q"]) for f in published[1].values() if f["family"] == "primary")
    assert len(primary) == 3
    highest = 0.0
    for rank, (p, q) in enumerate(primary):
        highest = max(highest, min(1.0, (3 - rank) * p))
        assert q == pytest.approx(highest)


def test_tables_hold_every_evaluation_once(published: tuple[Path, dict[str, Any]]) -> None:
    run, _ = published
    tables = {name: pq.read_table(run / "tables" / f"{name}.parquet") for name in INVESTIGATION_EVALUATION_TABLES}
    for name, schema in INVESTIGATION_EVALUATION_TABLES.items():
        assert tables[name].schema.equals(schema), name
    scores = {(r["run"], r["step"], r["task"]): r["score"] for r in tables["evaluation_scores"].to_pylist()}
    assert len(scores) == tables["evaluation_scores"].num_rows == 8
    assert scores["now", 40, "reading"] == pytest.approx(sum(WORSE) / 400)
    assert "evals/now/step20/m/samples_maths" in "".join(tables["evaluation_files"]["file"].to_pylist())
    leaks = {(r["step_b"], r["run_b"], r["task"]): r for r in tables["evaluation_leaks"].to_pylist()}
    leak = leaks[40, "now", "reading"]
    assert (leak["contaminated"], leak["contaminated_b"]) == (50, 0.0)
    assert leak["clean_a"] == pytest.approx(sum(BEFORE[50:]) / 350)
    assert leak["clean_b"] == pytest.approx(sum(WORSE[50:]) / 350)


def test_the_page_has_scores_by_step(published: tuple[Path, dict[str, Any]]) -> None:
    page = html5lib.parse((published[0] / "report.html").read_text(encoding="utf-8"), namespaceHTMLElements=False)
    charts = [node for node in page.iter() if node.get("aria-labelledby", "").startswith("scores-")]
    assert len(charts) == 2
    titles = [node.text or "" for node in charts[0].iter() if node.tag.rpartition("}")[2] == "title"]
    # Each score has its interval and its mark: three steps of one run, one of the other.
    assert len(titles) == 1 + 2 * 4 and titles[0] == "reading (acc) over steps."
    assert sum(title.startswith("now, step 40: 0.") and "[" in title for title in titles) == 2
    captions = ["".join(node.itertext()) for node in page.iter("caption")]
    assert captions == ["Scores of now by step", "The last evaluations of two runs"]
    rows = [["".join(cell.itertext()) for cell in row] for row in next(page.iter("tbody"))]
    assert [row[1] for row in rows if row[0].startswith("reading")] == ["10", "20", "40"]
    assert [row[0] for row in rows] == ["reading (acc)"] * 3 + ["maths (acc)"] * 3
    last = rows[2]
    assert last[2] == "400" and last[4].startswith("-0.100 [") and last[6:] == ["shown", "0.646", "0.000"]
    assert 0 < float(last[5]) < 0.1


def test_show_and_json(published: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    arguments = ["investigate", "show", "now.evals.40.reading:acc", "--in", str(published[0])]
    assert run_command(arguments, Session()) == 0
    text = capsys.readouterr().out
    assert "effect     -0.1 [" in text and "window     steps 20 to 40 of now" in text and "(MDE)" in text
    assert run_command([*arguments, "--json"], Session()) == 0
    assert json.loads(capsys.readouterr().out)["bucket"] == "capabilities"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("run: twin, step", "run: other, step", "the evaluation at step 20: no run is called 'other'"),
        ("step: 10,", "step: 20,", "evals has step 20 of now twice"),
        ("primary: [reading]", "primary: [readin]", "primary readin: no evaluation has this task; did you mean"),
        ("{reading: doc.passage}", "{reading: doc.pasage}", "no item of reading has the field 'doc.pasage'"),
        ("{reading: doc.passage}", "{read: doc.passage}", "cluster: no evaluation has items of 'read'"),
        ("{reading: doc.passage}", "nothing", "no item has the field 'nothing' that cluster names"),
        ("list: dirty.jsonl", "list: dirty.jsonl, rule: x", "holds no rule 'x'"),
        ("list: dirty.jsonl", "file: dirty.jsonl", "unknown key 'file'"),
        ("evals/now/step40/", "evals/now/step50/", "now at step 40: evals/now/step50/ matches no file"),
        ("evals/now/step40/", "now.jsonl", "the evaluation of now at step 40 holds no scores that could be read"),
    ],
)  # fmt: skip
def test_mistakes_are_named(folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str) -> None:
    assert old in SPEC
    path = folder / "wrong.yaml"
    path.write_text(SPEC.replace(old, new))
    capsys.readouterr()
    assert run_command(["investigate", str(path)], Session()) == 2
    assert message in capsys.readouterr().err


def test_one_evaluation_or_settings_without_any_are_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "version: 1\nname: x\nruns: [{id: now, telemetry: [now.jsonl]}]\n"
    for text, message in (
        (
            "evals: [{run: now, step: 1, paths: [a]}]\n",
            "evals has one evaluation, and there is none to",
        ),
        ("primary: [mmlu]\n", "primary needs evals"),
    ):
        (tmp_path / "i.yaml").write_text(head + text)
        assert run_command(["investigate", str(tmp_path / "i.yaml")], Session()) == 2
        assert message in capsys.readouterr().err


def test_init_proposes_evaluations(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    making.lm_eval_run(tmp_path / "evals" / "final", {"maths": BEFORE[:20]})
    (tmp_path / "evals" / "notes.txt").write_text("hello")
    path = folder / "proposed.yaml"
    arguments = [str(folder / "now.jsonl"), str(folder / "twin.jsonl"), str(folder / "evals"), str(tmp_path / "evals")]
    capsys.readouterr()
    assert run_command(["investigate", "init", *arguments, "-o", str(path), "--json"], Session()) == 0
    document = json.loads(capsys.readouterr().out)
    spec = load_investigation(path).spec
    assert [(each.run, each.step, each.paths) for each in spec.evals] == [
        ("now.jsonl", 10, ("evals/now/step10",)),
        ("now.jsonl", 20, ("evals/now/step20",)),
        ("now.jsonl", 40, ("evals/now/step40",)),
        ("twin.jsonl", 20, ("evals/twin/step20",)),
    ]
    assert len(document["evals"]) == 5 and document["evals"][-1]["step"] is None
    assert len(document["not_recognised"]) == 1 and "does not say of which run and step" in document["text"]


@pytest.mark.parametrize(
    ("file", "path", "step", "run"),
    [
        ("a/step30000/m/results.json", "a/step30000", 30000, "a"),
        ("x/global_step_0012/s.jsonl", "x/global_step_0012", 12, None),
        ("logs/b/checkpoint-5/s.jsonl", "logs/b/checkpoint-5", 5, "b"),
        ("near/here/iter30k.eval", "near/here/iter30k.eval", 30000, "c"),
        ("x/footstep7/s.jsonl", "x/footstep7", None, None),
        ("s.jsonl", "s.jsonl", None, None),
    ],
)
def test_run_and_step_are_those_of_the_path(file: str, path: str, step: int | None, run: str | None) -> None:
    runs = [KnownRun("a", ()), KnownRun("b", ()), KnownRun("c", (PurePosixPath("near"),))]
    (proposed,) = propose_evaluations([(file, "lm-eval")], runs)
    assert (proposed.path, proposed.step, proposed.run) == (path, step, run)
