"""``investigate init``, ``investigate FILE`` and ``investigate show`` on logs with planted faults."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pyarrow.parquet as pq
import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.run.findings import read_findings
from corpus_audit.schemas.spec.investigation_file import json_schema, load_investigation
from corpus_audit.schemas.tables.investigation.telemetry_tables import TELEMETRY_TABLES
from tests.pages import block

STEPS = 1500
HOSTILE = "\x1b[31m<script>alert(1)</script>"


def losses(seed: int) -> np.ndarray:
    """A loss whose steps are those of one order of batches, with little of its own."""
    batch = 0.02 * np.random.default_rng(1).standard_normal(STEPS)
    own = 0.004 * np.random.default_rng(seed).standard_normal(STEPS)
    return 2 + 8 * (np.arange(STEPS) + 10.0) ** -0.4 + batch + own


def megatron(loss: np.ndarray, gradient: np.ndarray, first: int = 0) -> str:
    return "".join(
        f"0:  iteration {step:8d}/ 3000 | elapsed time per iteration (ms): {1000 + step % 7:.1f} "
        f"| learning rate: 1.0E-04 | lm loss: {loss[step]:.6E} | grad norm: {gradient[step]:.3f} "
        "| number of skipped iterations: 0 |\n"
        for step in range(first, len(loss))
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with the same batches; one has a spike of its own with a precursor, and both have a bad batch."""
    root = tmp_path_factory.mktemp("investigation")
    now, twin = losses(2), losses(3)
    gradient = np.exp(0.1 * np.random.default_rng(4).standard_normal(STEPS))
    plain = gradient.copy()
    now[700] += 0.5  # the bad batch
    twin[700] += 0.5
    gradient[1195:1200] *= np.geomspace(3, 80, 5)
    now[1200:1206] += [0.4, 1.5, 1.0, 0.6, 0.3, 0.2]
    for name, text in (
        ("now/1.out", megatron(now[:1000], gradient)),
        ("now/2.out", HOSTILE + "\n" + megatron(now, gradient, first=900) + " iteration 1500/ 3000 | lm loss: 1.2"),
        ("twin/1.out", megatron(twin, plain)),
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    (root / "twin" / f"{HOSTILE.replace('/', '')}.pkl").write_bytes(b"\x80\x04.")
    return root


def run(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    capsys.readouterr()
    assert run_command(["investigate", *arguments], Session()) == code
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def spec(folder: Path) -> Path:
    path = folder / "investigation.yaml"
    assert (
        run_command(["investigate", "init", str(folder / "now"), str(folder / "twin"), "-o", str(path)], Session()) == 0
    )
    text = path.read_text()
    assert text.count("\n  - id:") == 2 and "not recognised" in text and "\x1b" not in text
    assert "loss: 'lm loss', documented" in text
    lines = text.splitlines()
    at = lines.index('  - id: "twin"')
    commented = next(i for i in range(at, len(lines)) if "same_order_as" in lines[i])
    lines[commented] = lines[commented].replace("# same", "same")
    lines += ["events:", f"  - {{step: 1190, what: {json.dumps('node change ' + HOSTILE)}}}"]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def result(spec: Path) -> tuple[Path, dict[str, Any]]:
    assert run_command(["investigate", str(spec)], Session()) == 0
    output = spec.parent / "investigations"
    published = output / (output / "LATEST").read_text().strip()
    findings = read_findings(published).findings
    return published, {finding.id: finding.model_dump(mode="json") for finding in findings}


def test_a_batch_that_both_runs_drew_is_not_ruled_out(result: tuple[Path, dict[str, Any]]) -> None:
    finding = result[1]["now.spike.700"]
    states = {explanation["what"]: explanation["state"] for explanation in finding["explanations"]}
    assert finding["reading"] == "shown" and "batch outlier" in finding["claim"]
    assert states["the batch of this step"] == "not ruled out"
    assert states["something that only this run met, such as its hardware"] == "ruled out"
    assert states["an instability that began before this step"] == "ruled out"
    assert states["a change of the learning rate"] == "ruled out"
    assert finding["effect"]["low"] <= 0.5 <= finding["effect"]["high"]


def test_a_spike_of_one_twin_is_not_explained_by_the_batch(result: tuple[Path, dict[str, Any]], folder: Path) -> None:
    finding = result[1]["now.spike.1201"]
    states = {explanation["what"]: explanation["state"] for explanation in finding["explanations"]}
    assert "instability" in finding["claim"]
    assert states["the batch of this step alone"] == "ruled out"
    assert states["node change " + HOSTILE] == "not ruled out"
    row = next(row for row in finding["evidence"] if row["step"] == 1201)
    line = Path(row["file"]).read_bytes()[row["offset"] :].split(b"\n", 1)[0]
    assert b"iteration     1201/" in line and f"lm loss: {row['value']:.6E}".encode() in line
    assert not any("caused" in json.dumps(each) for each in result[1].values())
    cause, batch = result[1]["now.cause.1201"], result[1]["now.cause.700"]
    assert cause["reading"] == "not shown" and cause["detail"].startswith(
        "no cause in the data alone: twin, which drew"
    )
    assert batch["reading"] == "not enough data" and "not compared with control windows" in batch["detail"]


def test_resumes_dead_letters_and_files_are_accounted_for(result: tuple[Path, dict[str, Any]]) -> None:
    published, findings = result
    assert findings["now.resumes"]["effect"]["value"] == 100 and "2 segments" in findings["now.resumes"]["claim"]
    assert findings["now.logs"]["reading"] == "shown" and findings["now.logs"]["excluded"] == {"truncated": 1}
    assert findings["twin.twin"]["reading"] == "shown" and findings["twin.twin"]["effect"]["low"] > 0.9
    assert findings["now.divergence"]["reading"] == "not shown"
    tables = {name: pq.read_table(published / "tables" / f"{name}.parquet") for name in TELEMETRY_TABLES}
    assert {name: table.schema for name, table in tables.items()} == TELEMETRY_TABLES
    points = tables["telemetry_points"]
    assert len(points) == sum(tables["telemetry_series"]["points"].to_pylist())
    files = tables["telemetry_files"].to_pylist()
    assert all(row["entries"] == row["used"] + row["other"] + row["refused"] for row in files)
    assert len(points) == sum(row["values"] - row["values_refused"] for row in files)
    assert [row["reason"] for row in tables["telemetry_dead_letters"].to_pylist()] == ["truncated"]
    facts = json.loads((published / "investigation.json").read_text())
    assert set(facts["files"]) == {
        "findings.json",
        "investigation.yaml",
        "report.html",
        "tables/metrics.parquet",
        *(f"tables/{name}.parquet" for name in tables),
    }


def test_the_page_runs_and_loads_nothing(result: tuple[Path, dict[str, Any]]) -> None:
    text = (result[0] / "report.html").read_text(encoding="utf-8")
    page = html5lib.parse(text, namespaceHTMLElements=False)
    assert not list(page.iter("script")) and "\x1b" not in text and len(text) < 500_000
    assert not [
        name for node in page.iter() for name in node.attrib if name.startswith("on") or name in ("href", "src")
    ]
    headings = ["".join(node.itertext()) for node in page.iter("h2")]
    assert headings[:4] == ["now", "twin", "Spikes", "What is shown"] and headings[-1] == "What could not be asked"
    rows = [["".join(cell.itertext()) for cell in row] for row in page.iter("tr")]
    spikes = {(row[0], row[5].partition(":")[0]): row for row in rows if len(row) == 7}
    only, both = spikes["1,201", "twin"], spikes["700", "twin"]
    assert only[3] == "instability" and only[5].startswith("twin: absent")
    assert both[5].startswith("twin: present") and both[6] == "no log of the sampler"
    missing = "".join("".join(node.itertext()) for node in page.iter("li"))
    assert "the sampler's log with a row a drawn document" in missing and "It takes a CSV of at least 21" in missing
    titles = [node.text or "" for node in page.iter() if node.tag.endswith("title")]
    assert any(title.startswith("spike at step 1,201") for title in titles)
    assert any("node change" in title and "<script>" in title for title in titles)
    assert any(title.startswith("a segment begins, step 900") for title in titles)


def test_output_exit_codes_and_show(
    result: tuple[Path, dict[str, Any]], spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run([str(spec), "--json", "--fail-on", "shown", "-o", str(tmp_path / "out")], capsys, code=1)
    payload = json.loads(out)
    assert payload["schema"] == "corpus-audit/investigation/1" and len(payload["findings"]) == len(result[1])
    text = run(["show", "now.spike.1201", "--in", str(spec.parent / "investigations")], capsys)
    assert "\x1b" not in text and "ruled out: the batch of this step alone" in text and "Evidence" in text
    one = json.loads(run(["show", "now.spike.1201", "--in", str(result[0]), "--json"], capsys))
    assert one["schema"] == "corpus-audit/finding/1" and one["id"] == "now.spike.1201"


def test_names_that_are_not_unicode_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = tmp_path / "logs" / os.fsdecode(b"odd\xff.jsonl")
    odd.parent.mkdir()
    rows = "".join(f'{{"step": {step}, "loss": {3 - step / 100}, "\\ud800": 1}}\n' for step in range(60))
    odd.write_text(rows + '{"step": 60, "loss": 9}\n{"step": "\\udfff"}\n')
    (tmp_path / "i.yaml").write_text("version: 1\nname: x\nruns: [{id: a, telemetry: [logs]}]\n")
    payload = json.loads(run([str(tmp_path / "i.yaml"), "--json"], capsys))
    (spike,) = [finding for finding in payload["findings"] if finding["id"] == "a.spike.60"]
    assert spike["evidence"][0]["file"].endswith("odd\\udcff.jsonl")
    series = pq.read_table(Path(payload["folder"]) / "tables" / "telemetry_series.parquet")
    assert set(series["tag"].to_pylist()) == {"loss", "\\ud800"}
    assert run_command(["investigate", "init", str(odd.parent), "-o", str(tmp_path / "j.yaml")], Session()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nname: x\nruns: [{id: a, telemetry: [nothing]}]\n", "run a: nothing matches no file"),
        ("version: 1\nname: x\nruns: [{id: a, telemetry: [b], evals: []}]\n", "unknown key 'evals'"),
        ("version: 1\nname: x\nruns: [{id: a, telemetry: [b], same_order_as: c}]\n", "'c' is no other run"),
        ("version: 1\nname: x\nruns: [{id: a, telemetry: [b]}, {id: a, telemetry: [b]}]\n", "the same id"),
        (
            "version: 1\nname: x\nruns: [{id: a, telemetry: [b]}]\nwindows: [{first: 5, last: 2}]\n",
            "last is before first",
        ),
        ("version: 1\nname: x\nruns: [{id: a, telemetry: [b]}]\ndrawn: {log: c, run: d}\n", "no run is called 'd'"),
        ("version: 1\nname: x\nruns: [{id: a, telemetry: [i.yaml]}]\n", "no log that the investigation names"),
    ],
)
def test_mistakes_in_a_spec_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "i.yaml").write_text(text)
    capsys.readouterr()
    assert run_command(["investigate", str(tmp_path / "i.yaml")], Session()) == 2
    assert message in capsys.readouterr().err


def test_the_page_has_a_valid_example(tmp_path: Path) -> None:
    (tmp_path / "i.yaml").write_text(block("checks/investigation/README.md", "An investigation", ""))
    spec = load_investigation(tmp_path / "i.yaml").spec
    assert spec.runs[1].same_order_as == "now" and spec.events[0].step == 30_500 and spec.windows == "auto"
    assert spec.drawn is not None and spec.drawn.log == "sampler/*.parquet" and spec.drawn.lag == 5
    evaluated = {"evals", "primary", "cluster", "safety", "seeds", "contamination", "scaling"}
    others = {"version", "name", "runs", "drawn", "routing", "units", "events", "windows", "output"}
    assert set(json_schema()["properties"]) == others | evaluated
    assert spec.safety is not None and spec.safety.refusal == ("xstest:grade<=0.5",)
    assert spec.evals[1].step == 34_000 and spec.cluster == {"drop": "passage_id"}


def test_init_does_not_overwrite_and_says_when_nothing_is_there(spec: Path, tmp_path: Path) -> None:
    assert run_command(["investigate", "init", str(spec.parent), "-o", str(spec)], Session()) == 2
    (tmp_path / "notes.txt").write_text("hello")
    assert run_command(["investigate", "init", str(tmp_path), "-o", str(tmp_path / "i.yaml")], Session()) == 2
