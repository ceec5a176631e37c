"""``investigate FILE`` with ``contamination: {audit:}``: items looked up, a planted leak, the order without it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_ITEMS, CONTAMINATION_MATCHES
from corpus_audit.schemas.tables.investigation.contamination_tables import CONTAMINATION_JOIN_TABLES
from tests.pipelines.evaluations import making
from tests.run_files import write_run_json

ITEMS, DIRTY = 600, 200
SPEC = """version: 1
name: gain or leak
runs: [{id: now, telemetry: [now.jsonl]}, {id: other, telemetry: [now.jsonl]}]
evals:
  - {run: now, step: 10, paths: [now10.jsonl]}
  - {run: now, step: 20, paths: [now20.jsonl]}
  - {run: now, step: 30, paths: [now30.jsonl]}
  - {run: other, step: 30, paths: [other.jsonl]}
contamination: {audit: runs, rule: llama2, benchmarks: {exam: exam_test}}
drawn: {log: log.parquet}
"""


def outcome(item: int, rule: str) -> str:
    if item >= ITEMS - 20:
        return "untestable"
    return "contaminated" if item < DIRTY and rule == "llama2" else "clean"


def audited(root: Path, names: list[str], **facts: Any) -> Path:
    """A run that looked for the benchmark exam_test, whose items have these names."""
    run = root / "runs" / "r1"
    (run / "tables").mkdir(parents=True)
    rows = [
        {"benchmark": "exam_test", "item": name, "rule": rule, "outcome": outcome(i, rule)}
        | {"longest": 0, "unit": "w"}
        for i, name in enumerate(names)
        for rule in ("gpt3", "llama2")
    ]
    table = run / "tables" / "contamination_items.parquet"
    pq.write_table(pa.Table.from_pylist(rows, CONTAMINATION_ITEMS), table)
    matches = run / "tables" / "contamination_matches.parquet"
    listed = [
        {"benchmark": "exam_test", "item": name, "document": "00", "id": f"d{i}" if i % 10 else None, "domain": "web"}
        | {"unit": "words", "longest": 9}
        for i, name in enumerate(names)
    ]
    pq.write_table(pa.Table.from_pylist(listed, CONTAMINATION_MATCHES), matches)
    entry = {"sha256": hashlib.sha256(table.read_bytes()).hexdigest(), "bytes": table.stat().st_size}
    write_run_json(run, files={f"tables/{path.name}": entry for path in (table, matches)}, **facts)
    (root / "runs" / "LATEST").write_text("r1\n")
    return run


def write(path: Path, scores: np.ndarray, names: list[str]) -> None:
    rows = [{"task": "exam", "id": name, "score": value} for name, value in zip(names, scores.tolist(), strict=True)]
    making.write_lines(path, rows)


def world(root: Path, leak: float, seed: int) -> Path:
    """Evaluations in which contaminated items alone are answered more often from step 20 on, by ``leak``."""
    rng = np.random.default_rng(seed)
    names = [f"q{i}" for i in range(ITEMS)]
    dirty = np.arange(ITEMS) < DIRTY
    making.write_lines(root / "now.jsonl", [{"step": step, "loss": 3 - step / 100} for step in range(40)])
    difficulty = rng.random(ITEMS)

    def answers(level: float, more: float) -> np.ndarray:
        return (difficulty + 0.1 * rng.standard_normal(ITEMS) < level + more * dirty).astype(float)

    for name, more in (("now10", 0.0), ("now20", 0.0), ("now30", leak)):
        write(root / f"{name}.jsonl", answers(0.4, more), names)
    write(root / "other.jsonl", answers(0.48, 0.0), names)
    # 30 items of the evaluation have other names in the audit.
    audited(root, [name if i < 550 or i >= 580 else f"old-{name}" for i, name in enumerate(names)])
    drawn = {"step": [15] * 50 + [25] * 100, "document": [f"d{i}" for i in [*range(50), *range(100, DIRTY)]]}
    pq.write_table(pa.table(drawn | {"tokens": [100] * 150}), root / "log.parquet")
    (root / "i.yaml").write_text(SPEC)
    return root


def findings_of(root: Path) -> tuple[Path, dict[str, Any]]:
    assert run_command(["investigate", str(root / "i.yaml")], Session()) == 0
    run = root / "investigations" / (root / "investigations" / "LATEST").read_text().strip()
    return run, {finding["id"]: finding for finding in json.loads((run / "findings.json").read_text())["findings"]}


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    return findings_of(world(tmp_path_factory.mktemp("leaking"), 0.4, 1))


def test_items_that_cannot_be_looked_up_are_counted(leaking: tuple[Path, dict[str, Any]]) -> None:
    join = leaking[1]["contamination.exam"]
    assert join["reading"] == "shown" and join["claim"].startswith("of 50 of 600 items of exam it is not known")
    assert join["excluded"] == {"the rule cannot judge them": 20, "the audit has no such item": 30}
    assert "200 contaminated, 350 clean" in join["detail"]
    assert join["limits"] == ["30 items of the benchmark exam_test are in no evaluation"]
    rows = pq.read_table(leaking[0] / "tables" / "evaluation_joins.parquet")
    assert rows.schema.equals(CONTAMINATION_JOIN_TABLES["evaluation_joins"])
    assert rows.to_pylist()[0] == {
        "task": "exam", "benchmark": "exam_test", "items": 600, "by_hash": 0, "by_id": 570, "contaminated": 200,
        "clean": 350, "untestable": 20, "numbered": 0, "missing": 30, "unused": 30,
    }  # fmt: skip


def test_a_planted_leak_is_split_from_the_gain_and_stands_against_the_placebo(
    leaking: tuple[Path, dict[str, Any]],
) -> None:
    leak = leaking[1]["now.leak.30.exam:score"]
    truth = 0.4 * DIRTY / 550
    assert leak["reading"] == "shown" and leak["effect"]["low"] < truth < leak["effect"]["high"]
    assert leak["excluded"] == {"not known to be clean or contaminated": 50} and leak["n"] == 550
    assert [each["state"] for each in leak["explanations"]] == ["ruled out"] * 3
    # Of every tenth item no document has an id; the first 50 were drawn at step 15, all from the 100th on at step 25.
    assert leak["explanations"][2]["figure"] == (
        "documents of 90 of 180 contaminated items were drawn there, of 45 before only, of 45 never; 20 further items "
        "without a document that has an id"
    )
    assert "that the corpus holds an item does not say when it was drawn, or whether it was" in leak["limits"]
    before = leaking[1]["now.leak.20.exam:score"]
    assert before["reading"] == "not shown" and before["effect"]["low"] < 0 < before["effect"]["high"]
    assert before["explanations"][1]["figure"] == "no earlier evaluation of now is among evals"
    assert "documents of 45 of 180" in before["explanations"][2]["figure"]


def test_the_order_of_runs_changes_without_contaminated_items(leaking: tuple[Path, dict[str, Any]]) -> None:
    order = leaking[1]["order.exam:score"]
    assert order["reading"] == "shown" and "other scores -0." in order["claim"]
    rows = pq.read_table(leaking[0] / "tables" / "evaluation_ranks.parquet").to_pylist()
    assert [(row["run"], row["rank"], row["clean_rank"]) for row in rows] == [("now", 1, 2), ("other", 2, 1)]
    assert {(row["items"], row["contaminated"]) for row in rows} == {(550, 200)}


def test_without_a_leak_none_is_shown(tmp_path: Path) -> None:
    findings = findings_of(world(tmp_path, 0.0, 2))[1]
    readings = {name: finding["reading"] for name, finding in findings.items() if ".leak." in name or "order" in name}
    assert len(readings) == 4 and set(readings.values()) == {"not shown"}
    assert findings["order.exam:score"]["detail"] == "at most 0 runs change places"


@pytest.mark.parametrize("numbers", [False, True])
def test_positions_are_no_ids_unless_the_spec_says_so(tmp_path: Path, numbers: bool) -> None:
    scores = [float(i % 3 > 0) for i in range(100)]
    making.write_lines(tmp_path / "now.jsonl", [{"step": step, "loss": 3 - step / 100} for step in range(40)])
    for name in ("a", "b"):
        making.lm_eval_run(tmp_path / name, {"exam_test": scores})
    audited(tmp_path, [str(i) for i in range(ITEMS)], coverage={"sample_share": 0.5})
    more = ", numbers: true" if numbers else ""
    (tmp_path / "i.yaml").write_text(
        "version: 1\nname: x\nruns: [{id: now, telemetry: [now.jsonl]}]\nevals:\n"
        "  - {run: now, step: 10, paths: [a]}\n  - {run: now, step: 20, paths: [b]}\n"
        f"contamination: {{audit: runs/r1, rule: llama2{more}}}\n"
    )
    join = findings_of(tmp_path)[1]["contamination.exam_test"]
    if numbers:
        assert join["reading"] == "not shown" and "100 contaminated, 0 clean (0 by hash, 100 by id)" in join["detail"]
    else:
        assert join["reading"] == "not enough data" and "may be a position in a file" in join["detail"]
    leak = findings_of(tmp_path)[1]["now.leak.20.exam_test:acc"]
    assert any("the audit read 50.0% of the corpus" in limit for limit in leak["limits"])


def test_a_field_of_the_items_is_their_id_in_the_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Items that lm-evaluation-harness calls by position are looked up by the text of their question."""
    making.write_lines(tmp_path / "now.jsonl", [{"step": step, "loss": 3 - step / 100} for step in range(40)])
    for name, shift in (("a", 0), ("b", 1)):
        making.lm_eval_run(tmp_path / name, {"exam_test": [float((i + shift) % 3 > 0) for i in range(300)]})
    audited(tmp_path, [f"exam_test {i}" for i in range(ITEMS)])
    spec = (
        "version: 1\nname: x\nruns: [{id: now, telemetry: [now.jsonl]}]\nevals:\n"
        "  - {run: now, step: 10, paths: [a]}\n  - {run: now, step: 20, paths: [b]}\n"
        "contamination: {audit: runs, rule: llama2, id: q}\n"
    )
    (tmp_path / "i.yaml").write_text(spec)
    join = findings_of(tmp_path)[1]["contamination.exam_test"]
    assert join["reading"] == "not shown" and "200 contaminated, 100 clean (0 by hash, 300 by id)" in join["detail"]
    (tmp_path / "i.yaml").write_text(spec.replace("id: q", "id: question"))
    assert run_command(["investigate", str(tmp_path / "i.yaml")], Session()) == 2
    assert "contamination.id: no item has the field 'question'" in capsys.readouterr().err


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = world(tmp_path, 0.0, 3)
    spec = (root / "i.yaml").read_text()
    for old, new, message in (
        ("rule: llama2, ", "", "holds the rules gpt3, llama2: choose one with rule under contamination"),
        ("exam_test}", "exams}", "exam: the audit has no benchmark 'exams'; it has exam_test"),
        ("audit: runs", "audit: now.jsonl", "neither a run directory nor an output folder"),
        ("audit: runs", "audit: runs, list: x", "name a list or an audit"),
        ("audit: runs", "list: x", "benchmarks and numbers go with audit"),
    ):
        (root / "i.yaml").write_text(spec.replace(old, new))
        assert run_command(["investigate", str(root / "i.yaml")], Session()) != 0
        assert message in capsys.readouterr().err.replace("\n", " ")
    (root / "i.yaml").write_text(spec)
    with (root / "runs" / "r1" / "tables" / "contamination_items.parquet").open("ab") as file:
        file.write(b"x")
    assert run_command(["investigate", str(root / "i.yaml")], Session()) != 0
    assert "is missing or damaged" in capsys.readouterr().err
