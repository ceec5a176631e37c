"""A bad shard in a sampler's log is found and ranked first, also behind a wrong offset; without one nothing is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.sampling.log.comparison import compare_window, excess_of
from corpus_audit.pipelines.sampling.log.drawn import DrawnRows
from corpus_audit.pipelines.statistics.sampling.control_windows import control_starts, joint_p, rank_p
from corpus_audit.pipelines.statistics.sampling.excess_loss import excess_losses, offset_test
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session

STEPS, BATCH, SPIKE = 1200, 40, 700
DOMAINS = ("web", "code", "books")


def draws(generator: np.random.Generator, steps: int, batch: int) -> DrawnRows:
    """Draws of documents with losses by domain, and a level of its own at every step."""
    n = steps * batch
    step, domain = np.repeat(np.arange(steps), batch), generator.choice(3, n, p=(0.6, 0.3, 0.1))
    level = 2 + 8 * (np.arange(steps) + 10.0) ** -0.4 + 0.05 * generator.standard_normal(steps)
    loss = level[step] + np.array([0.0, -0.8, 0.3])[domain] + 0.3 * generator.standard_normal(n)
    keys = generator.integers(0, n * 20, n).astype(np.uint64)
    return DrawnRows(step, generator.integers(50, 500, n), keys, domain, loss, DOMAINS, {})


def plant(rows: DrawnRows, offset: int = 0) -> np.ndarray:
    """Make a third of the documents of the steps before the spike those of a bad shard; returns which."""
    bad = (rows.step >= SPIKE - 1 - offset) & (rows.step <= SPIKE - offset) & (np.arange(len(rows.step)) % 3 == 0)
    assert rows.key is not None and rows.domain is not None and rows.loss is not None
    rows.loss[bad] += 6
    rows.domain[bad] = 2
    return bad


def test_nothing_planted_is_found_in_five_percent() -> None:
    generator = np.random.default_rng(8)
    p = []
    for _ in range(200):
        rows = draws(generator, 320, 12)
        window = (160, 162)
        starts = control_starts(window, (0, 319), [])
        result = compare_window(rows, excess_of(rows), window, starts)
        assert result.controls >= 99 and len(result.each) == 3
        p.append(result.p)
    assert 3 <= sum(value <= 0.05 for value in p) <= 19  # of 200: 5 % gives 10, with standard deviation 3.1
    assert 0.4 <= np.mean(p) <= 0.6


def test_the_window_with_a_bad_shard_is_the_most_extreme() -> None:
    rows = draws(np.random.default_rng(9), STEPS, BATCH)
    bad = plant(rows)
    window = (SPIKE - 5, SPIKE)
    result = compare_window(rows, excess_of(rows), window, control_starts(window, (0, STEPS - 1), []))
    assert result.each["excess loss"] == 1 / (1 + result.controls) and result.p <= 3 / (1 + result.controls)
    assert result.shares[0].domain == "books" and result.shares[0].share > 2 * result.shares[0].control_share
    assert rows.key is not None and {each.key for each in result.top[:5]} <= set(rows.key[bad].tolist())
    totals = [each.excess for each in result.top if each.excess is not None]
    assert totals == sorted(totals, reverse=True) and len(totals) == 100


def test_a_level_that_all_documents_share_is_no_excess() -> None:
    rows = draws(np.random.default_rng(10), 300, 30)
    assert rows.loss is not None and rows.domain is not None
    before = excess_losses(rows.step, rows.domain, rows.loss)
    raised = rows.loss + np.where(rows.step == 100, 5.0, 0.0)
    np.testing.assert_allclose(excess_losses(rows.step, rows.domain, raised), before, atol=0.02)
    raised[7] = np.nan
    assert np.isnan(excess_losses(rows.step, rows.domain, raised)[7])


def test_p_counts_the_window_itself() -> None:
    scores = np.array([[3.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(rank_p(scores), [[0.5, 1.0, 0.75, 0.5], [1.0, 1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(joint_p(rank_p(scores)), [0.5, 1.0, 0.75, 0.5])
    starts = control_starts((50, 54), (0, 99), [(20, 21)])
    assert set(starts.tolist()) == {0, 5, 10, 15, 25, 30, 35, 40, 60, 65, 70, 75, 80, 85, 90, 95} - {15 + 5}
    assert control_starts((50, 54), (0, 99), [], most=3).tolist() in ([40, 60, 35], [35, 40, 60])


@pytest.mark.parametrize("shift", [-3, 0, 4])
def test_the_offset_is_found_by_the_loss(shift: int) -> None:
    generator = np.random.default_rng(11)
    loss = 2 + 8 * (np.arange(600) + 10.0) ** -0.4 + 0.05 * generator.standard_normal(600)
    result = offset_test(np.arange(600) - shift, loss, np.arange(600), loss + 0.01, np.arange(-5, 6), 0)
    assert result.best == shift and result.differs == (shift != 0)
    other = offset_test(np.arange(600), generator.standard_normal(600), np.arange(600), loss, np.arange(-5, 6), 0)
    assert other.best is None and not other.differs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a bad shard before a spike, in a log whose steps are two behind; another spike has no such cause."""
    root = tmp_path_factory.mktemp("drawn")
    rows = draws(np.random.default_rng(12), STEPS, BATCH)
    bad = plant(rows, offset=2)
    assert rows.domain is not None and rows.loss is not None
    total = np.bincount(rows.step, weights=rows.tokens * rows.loss) / np.bincount(rows.step, weights=rows.tokens)
    loss = np.concatenate([total[:2], total[:-2]])  # step s of the run is step s - 2 of the log
    loss[400] += 1.5
    lines = [json.dumps({"step": step, "loss": value}) for step, value in enumerate(loss.tolist())]
    (root / "log.jsonl").write_text("\n".join(lines) + "\n")
    # The model is worse at every document of step 400.
    rows.loss[rows.step == 398] += 1.5
    names = [f"bad-{i % 7}" if wrong else f"d{i}" for i, wrong in enumerate(bad.tolist())]
    table = pa.table(
        {
            "step": rows.step, "tokens": rows.tokens, "document": names, "loss": rows.loss,
            "domain": [DOMAINS[each] for each in rows.domain.tolist()],
        }
    )  # fmt: skip
    (root / "sampler [1]").mkdir()
    pq.write_table(table.slice(0, 20_000), root / "sampler [1]" / "0.parquet")
    pq.write_table(table.slice(20_000), root / "sampler [1]" / "1.parquet")
    (root / "investigation.yaml").write_text(
        "version: 1\nname: x\nruns: [{id: now, telemetry: [log.jsonl]}]\n"
        'drawn: {log: "sampler [[]1]/*.parquet", step_offset: 0}\n'
    )
    return root


def output(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    capsys.readouterr()
    assert run_command(["investigate", *arguments], Session()) == code
    return capsys.readouterr().out


def test_findings_name_the_bad_documents_and_the_offset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload = json.loads(output([str(folder / "investigation.yaml"), "--json"], capsys))
    findings = {each["id"]: each for each in payload["findings"]}
    assert findings["now.documents.offset"]["reading"] == "shown"
    assert findings["now.documents.offset"]["effect"]["value"] == 2
    planted, other = findings[f"now.documents.{SPIKE}"], findings["now.documents.400"]
    assert planted["bucket"] == "data" and planted["reading"] == "shown" and planted["q"] <= 0.05
    assert all(row["shown"].startswith("document bad-") for row in planted["evidence"][:7])
    assert other["reading"] == "not shown" and other["detail"].startswith("at most")
    states = {
        name: [each for each in findings[f"now.spike.{name}"]["explanations"] if "documents" in each["what"]]
        for name in (SPIKE, 400)
    }
    assert [each["state"] for each in states[SPIKE]] == ["not ruled out"]
    assert [each["state"] for each in states[400]] == ["ruled out"] and "unusual" in states[400][0]["what"]
    assert "control windows" in states[SPIKE][0]["figure"] and "bad-" in states[SPIKE][0]["figure"]
    tables = Path(payload["folder"]) / "tables"
    documents = pq.read_table(tables / "drawn_documents.parquet").to_pylist()
    top = [row["document"] for row in documents if row["step"] == SPIKE and row["rank"] <= 7]
    assert sorted(top) == [f"bad-{i}" for i in range(7)]
    assert {row["offset"] for row in pq.read_table(tables / "drawn_windows.parquet").to_pylist()} == {2}
    assert f"now.documents.{SPIKE}" in (Path(payload["folder"]) / "report.html").read_text("utf-8")


def test_the_documents_of_any_steps_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(folder / "investigation.yaml")
    arguments = ["documents", spec, "--first", str(SPIKE - 4), "--last", str(SPIKE - 1)]
    payload = json.loads(output([*arguments, "--json"], capsys))
    assert payload["schema"] == "corpus-audit/investigate-documents/1" and payload["controls"] >= 99
    assert payload["p"] <= 0.05 and payload["top"][0]["document"].startswith("bad-")
    assert payload["most_drawn"][0]["draws"] > 1 and payload["shares"][0]["domain"] == "books"
    text = output(arguments, capsys)
    assert "bad-" in text and "books" in text and "control windows" in text
    few = output(["documents", spec, "--first", "0", "--last", "600"], capsys)
    assert "at least 99" in few
    assert run_command(["investigate", "documents", spec, "--first", "9", "--last", "5"], Session()) == 2
    assert run_command(["investigate", "documents", spec, "--first", "9000", "--last", "9001"], Session()) == 2


def test_without_losses_other_offsets_are_tried_and_an_audit_names_domains(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.concat_tables([pq.read_table(path) for path in sorted((folder / "sampler [1]").glob("*.parquet"))])
    names = pa.array([f"\x1b[31m{name}" for name in table["document"].to_pylist()])
    pq.write_table(table.select(["step", "tokens"]).append_column("document", names), tmp_path / "log.parquet")
    (tmp_path / "runs" / "r" / "tables").mkdir(parents=True)
    (tmp_path / "runs" / "LATEST").write_text("r\n")
    (tmp_path / "runs" / "r" / "run.json").write_text("{}")
    documents = pa.table({"id": names, "domain": table["domain"]}).slice(0, 47_000)
    pq.write_table(documents, tmp_path / "runs" / "r" / "tables" / "per_document.parquet")
    (tmp_path / "log.jsonl").write_bytes((folder / "log.jsonl").read_bytes())
    text = "version: 1\nname: x\nruns: [{id: now, telemetry: [log.jsonl]}]\n"
    path = tmp_path / "i.yaml"
    path.write_text(text + "drawn: {log: log.parquet, step_offset: 2, audit: runs}\n")
    payload = json.loads(output([str(path), "--json"], capsys))
    findings = {each["id"]: each for each in payload["findings"]}
    assert findings["now.documents.offset"]["reading"] == "not enough data"
    planted, other = findings[f"now.documents.{SPIKE}"], findings["now.documents.400"]
    assert planted["reading"] == "shown" and "books is" in planted["claim"]  # repeats and domains show it
    assert "with another one p would be: -2" in planted["limits"][0]
    (explanation,) = [e for e in findings["now.spike.400"]["explanations"] if "documents" in e["what"]]
    assert other["reading"] == "not shown" and explanation["state"] == "not ruled out"
    assert "no losses" in explanation["figure"] and "\x1b" not in (Path(payload["folder"]) / "report.html").read_text()
    assert "\x1b" not in output(["documents", str(path), "--first", "690", "--last", "701"], capsys)
    path.write_text(text + "drawn: {log: log.parquet, audit: nothing}\n")
    assert run_command(["investigate", str(path)], Session()) == 2
    assert "holds no finished run" in capsys.readouterr().err
    path.write_text(text)
    assert run_command(["investigate", "documents", str(path), "--first", "1", "--last", "2"], Session()) == 2
