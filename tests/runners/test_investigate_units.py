"""``investigate FILE`` with indexes: units that moved, are dead or were drawn before a spike; experts; balance."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.embeddings import open_index
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.spec.investigation_file import load_investigation
from corpus_audit.schemas.tables.investigation.representation_tables import EXPERT_TABLES, UNIT_TABLES
from tests.embeddings.made import MOMENT, replace_array, write_small_index
from tests.pages import block
from tests.pipelines.evaluations import making

STEPS, BATCH, SPIKE, DOCUMENTS, PLANTED, MOVED, DEAD = 800, 10, 500, 150, 3, 2, 4
SPEC = """version: 1
name: units
runs: [{id: now, telemetry: [now.jsonl]}]
drawn: {log: log.parquet}
units: {index: index, before: before, select: "mlp.0:*"}
routing: {index: experts, series: "moe/*"}
"""


def index(root: Path, name: str, **arguments: Any) -> Path:
    return write_small_index(root / name, DOCUMENTS, **arguments)[0]


def expert_index(root: Path) -> None:
    """Two layers of six experts; expert 0 of layer 3 takes a third of the tokens of books and a tenth of web."""
    folder = index(root, "experts", points=("expert.0", "expert.3"))
    tokens = np.load(folder / "arrays" / "tokens.npy")
    routed = np.zeros((*tokens.shape, 12), np.int64)
    for at in np.ndindex(tokens.shape):
        for layer in range(2):
            first = (1 / 3 if at[0] == 0 else 0.1) if layer else 1 / 6
            mix = np.array([first, *[(1 - first) / 5] * 5])
            sent = np.floor(mix * tokens[at]).astype(int)
            sent[1] += tokens[at] - sent.sum()
            routed[at][6 * layer : 6 * layer + 6] = sent
    replace_array(folder, "fired", routed)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Documents of the strongest examples of unit mlp.0:3 are drawn in the five steps before a spike."""
    root = tmp_path_factory.mktemp("units")
    rng = np.random.default_rng(8)
    later = index(root, "index", moment=MOMENT + timedelta(days=1))
    before = index(root, "before", snapshot="ef" * 32)
    opened = open_index(later)
    total, fired = np.array(opened.array("total")), np.array(opened.array("fired"))
    tokens = np.asarray(opened.array("tokens"))
    total[:, :, MOVED] += 0.8 * tokens
    fired[:, :, DEAD] = 0
    replace_array(later, "total", total)
    replace_array(later, "fired", fired)
    examples = {location.id for each in opened.lookup(f"mlp.0:{PLANTED}", k=4) for location in each.locations}
    step = np.repeat(np.arange(STEPS), BATCH)
    names = [f"doc-{i}" for i in rng.integers(0, 3 * DOCUMENTS, len(step))]  # two thirds are not in the index
    for offset, name in enumerate(sorted(str(each) for each in examples)):
        names[(SPIKE - offset) * BATCH] = name
    pq.write_table(pa.table({"step": step, "tokens": np.full(len(step), 100), "document": names}), root / "log.parquet")
    loss = 3 - np.arange(STEPS) / 1000 + 0.02 * rng.standard_normal(STEPS)
    loss[SPIKE] += 1
    loads = rng.multinomial(4000, [0.25] * 4, STEPS)
    rows = [
        {"step": s, "loss": float(loss[s])} | {f"moe/layer_0/expert_{e}": int(loads[s, e]) for e in range(4)}
        for s in range(STEPS)
    ]
    making.write_lines(root / "now.jsonl", rows)
    expert_index(root)
    (root / "i.yaml").write_text(SPEC)
    assert run_command(["investigate", str(root / "i.yaml")], Session()) == 0
    run = root / "investigations" / (root / "investigations" / "LATEST").read_text().strip()
    assert before.is_dir()
    return run, {each["id"]: each for each in json.loads((run / "findings.json").read_text())["findings"]}


def test_the_unit_whose_examples_were_drawn_before_the_spike_is_named(published: tuple[Path, dict[str, Any]]) -> None:
    drawn = published[1][f"units.drawn.{SPIKE}"]
    assert drawn["bucket"] == "representations" and drawn["reading"] == "shown" and drawn["n"] == 6
    assert f"mlp.0:{PLANTED} " in drawn["claim"].split(": ", 1)[1].split(",")[0]
    assert drawn["window"] == {"run": "now", "first": SPIKE - 5, "last": SPIKE}
    rows = pq.read_table(published[0] / "tables" / "drawn_units.parquet").to_pylist()
    planted = next(row for row in rows if row["unit"] == f"mlp.0:{PLANTED}")
    assert planted["documents"] >= 3 and planted["expected"] < 1 and planted["p"] <= 0.05


def test_moved_and_dead_units(published: tuple[Path, dict[str, Any]]) -> None:
    moved, dead = published[1]["units.moved"], published[1]["units.dead"]
    assert moved["reading"] == "shown" and moved["claim"].startswith("1 of ") and f"mlp.0:{MOVED} +" in moved["detail"]
    assert moved["explanations"][0]["state"] == "ruled out" and "within domains" in moved["explanations"][0]["figure"]
    assert dead["reading"] == "shown" and "fires on none of" in dead["claim"] and f"mlp.0:{DEAD}" in dead["claim"]
    assert "1 of them fired in the earlier index" in dead["detail"]


def test_experts_of_an_index_and_of_the_telemetry(published: tuple[Path, dict[str, Any]]) -> None:
    special = published[1]["experts.domains"]
    assert special["reading"] == "shown" and "expert.3:0 takes 3" in special["detail"]
    assert not any("expert.0:" in row["shown"] for row in special["evidence"])
    assert published[1]["now.experts.dead"]["reading"] == published[1]["now.experts.shifts"]["reading"] == "not shown"
    mixture = published[1]["now.experts.mixture"]
    assert mixture["reading"] == "not enough data" and "no column of domains" in mixture["detail"]
    for name, schema in (EXPERT_TABLES | UNIT_TABLES).items():
        assert pq.read_table(published[0] / "tables" / f"{name}.parquet").schema.equals(schema), name


def test_the_page_has_them(published: tuple[Path, dict[str, Any]]) -> None:
    page = (published[0] / "report.html").read_text(encoding="utf-8")
    for name in ("units.moved", "units.dead", f"units.drawn.{SPIKE}", "experts.domains", "now.experts.dead"):
        assert f"finding-{name}" in page, name
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    captions = ["".join(node.itertext()) for node in tree.iter("caption")]
    assert captions[1:] == [
        "Balance of the experts of now", "Units that moved, the largest certain changes first",
        "Units with examples that were drawn before a spike",
    ]  # fmt: skip
    first = [["".join(cell.itertext()) for cell in next(iter(body))] for body in tree.iter("tbody")][1:]
    assert first[0][:3] == ["moe/layer_0/expert_*", "0", "4"] and first[0][6] == "0"
    assert first[1][0] == f"mlp.0:{MOVED}" and first[2][:2] == [f"mlp.0:{PLANTED}", str(SPIKE)]
    last = page.split("What could not be asked")[1]
    assert "Did capabilities change with the loss?" in last and "It takes results of two checkpoints" in last
    assert "Which units moved" not in last and "unique tokens enough" not in last


def test_what_cannot_be_compared_is_said(
    published: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    root = published[0].parents[1]
    for old, new, message in (
        ("index: index,", "index: nothing,", "nothing holds no activation index"),
        ("mlp.0:*", "mlp.7:*", "mlp.7"),
        ("{index: experts, ", "{run: other, index: experts, ", "no run is called 'other'"),
    ):
        (root / "j.yaml").write_text(SPEC.replace(old, new))
        assert run_command(["investigate", str(root / "j.yaml")], Session()) == 2
        assert message in capsys.readouterr().err
    (root / "j.yaml").write_text(SPEC.replace("drawn: {log: log.parquet}\n", "").replace("experts, ", "before, "))
    assert run_command(["investigate", str(root / "j.yaml"), "--json"], Session()) == 0
    payload = json.loads(capsys.readouterr().out)
    findings = {each["id"]: each for each in payload["findings"]}
    assert findings["units.drawn"]["detail"] == "no log of the sampler is part of the investigation"
    assert findings["experts.domains"]["detail"] == "the index has no units of the kind expert"


@pytest.mark.parametrize("heading", ["Balance of experts", "Units"])
def test_the_page_has_valid_examples(tmp_path: Path, heading: str) -> None:
    head = "version: 1\nname: x\nruns: [{id: now, telemetry: [a]}]\n"
    (tmp_path / "i.yaml").write_text(head + block("checks/representations/README.md", heading, ""))
    spec = load_investigation(tmp_path / "i.yaml").spec
    assert spec.routing is not None and (spec.units is not None) == (heading == "Units")
