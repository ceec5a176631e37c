"""``investigate FILE`` with a scaling law: runs of a known law, one of them off it, and files that cannot be used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import html5lib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.checks.investigation.scaling_findings import (
    FEWEST_OTHERS,
    CorpusTokens,
    ScalingRun,
    ScalingRuns,
    analyse_scaling,
    optimum_sentence,
    scaling_finding,
    scaling_tables,
    unique_finding,
)
from corpus_audit.checks.report.investigation.law_chart import law_charts
from corpus_audit.pipelines.statistics.scaling.law import ChinchillaLaw
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.run.findings import Reading
from corpus_audit.schemas.tables.investigation.scaling_tables import SCALING_TABLES
from corpus_audit.schemas.tables.run_tables import DUPLICATES
from tests.pipelines.evaluations import making
from tests.pipelines.finished_run import finished_run

LAW = ChinchillaLaw(6.0, 0.34, 6.0, 0.28, 0.52)
HOSTILE = "<script>\x1b[31m"


def runs_of_law(count: int, off: float, parameters: float = 4e8) -> ScalingRuns:
    """Runs with 0.5 % noise, and `now`, which is ``off`` from the law by that share."""
    rng = np.random.default_rng(5)
    n = np.exp(rng.uniform(np.log(1e7), np.log(1e9), count))
    d = n * np.exp(rng.uniform(np.log(5), np.log(100), count))
    loss = LAW.loss(n, d) * np.exp(0.005 * rng.standard_normal(count))
    runs = [ScalingRun(f"r{i}", *map(float, row)) for i, row in enumerate(zip(n, d, loss, strict=True))]
    tokens = 20 * parameters
    now = ScalingRun("now", parameters, tokens, float(LAW.loss(parameters, tokens)) * (1 + off))
    return ScalingRuns("law.csv", (*runs, now), {})


def test_a_run_off_its_law_is_shown_and_one_on_it_is_not() -> None:
    off, on = (scaling_finding(analyse_scaling(runs_of_law(40, share), "now")) for share in (0.06, 0.0))
    assert (off.reading, on.reading) == (Reading.SHOWN, Reading.NOT_SHOWN)
    assert off.effect is not None and on.effect is not None
    planted = 0.06 * float(LAW.loss(4e8, 8e9))
    assert off.effect.low is not None and off.effect.high is not None and on.effect.low is not None
    assert 0 < off.effect.low < planted < off.effect.high and on.effect.low < 0
    assert off.family == "scaling law" and off.p == off.q and off.p is not None and off.p < 1e-6
    assert on.p is not None and on.p > 0.05
    assert "% above" in off.detail and off.n == 40 and "off by at most" in on.detail
    assert [explanation.state.value for explanation in off.explanations] == ["ruled out", "untested"]


def test_the_law_is_drawn_with_its_band_and_every_run() -> None:
    body = ET.Element("body")
    analysis = analyse_scaling(runs_of_law(40, 0.06), "now")
    law_charts(body, analysis)
    over_tokens, deviations = body.iter("figure")
    (band,) = over_tokens.iter("polygon")
    assert len((band.get("points") or "").split()) == 2 * 25
    titles = [node.text or "" for node in deviations.iter("title")]
    assert sum(title.startswith("r") for title in titles) == 40
    assert sum(title.startswith("now: +6") and "expected within -" in title for title in titles) == 2
    nothing = ET.Element("body")
    law_charts(nothing, analyse_scaling(runs_of_law(FEWEST_OTHERS - 1, 0.0), "now"))
    assert len(nothing) == 0


def test_the_optimum_covers_that_of_the_law_and_tables_hold_the_fit() -> None:
    analysis = analyse_scaling(runs_of_law(40, 0.0), "now")
    best = LAW.optimal(6 * 4e8 * 8e9)
    assert analysis.optimum is not None
    for estimate, true in zip(analysis.optimum, best, strict=True):
        assert estimate.low < true < estimate.high
    assert "floating-point operations of now (6 N D)" in (optimum_sentence(analysis) or "")
    tables = dict(scaling_tables(analysis))
    assert {name: table.schema for name, table in tables.items()} == SCALING_TABLES
    assert tables["scaling_runs"]["role"].to_pylist() == ["fitted"] * 40 + ["holdout"]
    constants = {row["constant"]: row for row in tables["scaling_law"].to_pylist()}
    assert constants["alpha"]["low"] < LAW.alpha < constants["alpha"]["high"]


def test_what_lies_outside_of_the_other_runs_is_said() -> None:
    finding = scaling_finding(analyse_scaling(runs_of_law(40, 0.0, 7e9), "now"))
    far = finding.explanations[0]
    assert far.state.value == "not ruled out" and far.figure.startswith("7e+09 parameters, and the others have")


@pytest.mark.parametrize(
    ("share", "reading", "words"),
    [(20.0, Reading.NOT_SHOWN, "at most"), (0.01, Reading.SHOWN, "above that of a corpus without end")],
)
def test_unique_tokens_of_the_corpus_bound_the_optimum(share: float, reading: Reading, words: str) -> None:
    """A corpus with twenty times the optimal tokens has enough; one with a hundredth of them has not."""
    best = LAW.optimal(6 * 4e8 * 8e9)[1]
    corpus = CorpusTokens(int(share * best), int(2 * share * best), "t.json", 1.0)
    analysis = analyse_scaling(runs_of_law(40, 0.06), "now", corpus)
    finding = unique_finding(analysis)
    assert finding is not None and finding.reading is reading and words in finding.detail and finding.bucket == "data"
    assert finding.effect is not None and finding.effect.low is not None and finding.effect.high is not None
    assert finding.effect.low < 1 / share < finding.effect.high
    repeated = scaling_finding(analysis).explanations[1]
    assert repeated.state.value == ("untested" if share > 1 else "not ruled out")
    assert ("epochs are worth" in repeated.figure) == (share < 1)
    part = unique_finding(replace(analysis, corpus=replace(corpus, read=0.5)))
    assert part is not None and part.reading is (reading if share > 1 else Reading.NOT_ENOUGH)
    assert unique_finding(analyse_scaling(runs_of_law(5, 0.0), "now", corpus)).reading is Reading.NOT_ENOUGH  # type: ignore[union-attr]


def test_a_file_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    making.write_lines(tmp_path / "now.jsonl", [{"step": step, "loss": 3 - step / 100} for step in range(60)])
    head = "version: 1\nname: x\nruns: [{id: now, telemetry: [now.jsonl]}]\n"
    (tmp_path / "i.yaml").write_text(head + "scaling: {runs: law.csv, holdout: now}\n")
    rows = [f"{run.name},{run.parameters},{run.tokens},{run.loss}" for run in runs_of_law(FEWEST_OTHERS - 1, 0.1).runs]
    rows += [f"{HOSTILE},1,x,2", "short,1"]
    path = tmp_path / "law.csv"
    path.write_text("run,parameters,tokens,loss\n" + "\n".join(rows) + "\n")
    capsys.readouterr()
    assert run_command(["investigate", str(tmp_path / "i.yaml"), "--json"], Session()) == 0
    payload = json.loads(capsys.readouterr().out)
    finding = next(each for each in payload["findings"] if each["id"] == "now.scaling")
    assert finding["reading"] == "not enough data" and finding["detail"] == "19 other runs, and 20 are needed"
    assert finding["excluded"] == {"a value is no positive number": 1, "another number of columns, or no name": 1}
    folder = Path(payload["folder"])
    assert pq.read_table(folder / "tables" / "scaling_runs.parquet").num_rows == FEWEST_OTHERS
    assert "Scaling law" in (folder / "report.html").read_text()

    path.write_text(f"run,parameters,tokens,loss\n{HOSTILE},4e8,8e9,9\n" + "\n".join(rows[:-2]).replace("now", "own"))
    duplicates = finished_run(tmp_path / "audited", {}).folder / "tables" / "duplicates.parquet"
    rows_of_all = [
        row | {"tokens": 4 * 10**9, "distinct_tokens": 10**8} for row in pq.read_table(duplicates).to_pylist()
    ]
    pq.write_table(pa.Table.from_pylist(rows_of_all, DUPLICATES), duplicates)
    audited = f"scaling: {{runs: law.csv, holdout: {json.dumps(HOSTILE)}, audit: audited}}\n"
    (tmp_path / "i.yaml").write_text(head + audited)
    assert run_command(["investigate", str(tmp_path / "i.yaml")], Session()) == 0
    assert "\x1b" not in capsys.readouterr().out
    folder = tmp_path / "investigations" / (tmp_path / "investigations" / "LATEST").read_text().strip()
    page = (folder / "report.html").read_text()
    assert not list(html5lib.parse(page, namespaceHTMLElements=False).iter("script"))
    assert "\x1b" not in page and "Shown: the loss of" in page
    findings = {each["id"]: each for each in json.loads((folder / "findings.json").read_text())["findings"]}
    assert "of 1e+08 unique ones" in findings[f"{HOSTILE}.scaling.unique"]["detail"] and "of 1e+08 unique ones" in page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run,parameters,tokens\n", "has no column 'loss'"),
        ("run,parameters,tokens,loss\na,1,1,1\na,1,1,1\n", "has the run 'a' twice"),
        ("run,parameters,tokens,loss\na,1,1,1\n", "law.csv has no usable run 'now'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    making.write_lines(tmp_path / "now.jsonl", [{"step": step, "loss": 3.0} for step in range(60)])
    spec = "version: 1\nname: x\nruns: [{id: now, telemetry: [now.jsonl]}]\nscaling: {runs: law.csv, holdout: now}\n"
    (tmp_path / "i.yaml").write_text(spec)
    (tmp_path / "law.csv").write_text(text)
    assert run_command(["investigate", str(tmp_path / "i.yaml")], Session()) == 2
    assert message in capsys.readouterr().err
