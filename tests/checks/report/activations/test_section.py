"""The section on what a model makes of the corpus: what it says, draws and escapes."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.checks.report.activations import projection_chart, section
from corpus_audit.checks.report.activations.projection_chart import Panel
from corpus_audit.checks.report.activations.section import ModelView
from corpus_audit.checks.report.page.html import _environment
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.run.run_file import AutoencoderCheck
from corpus_audit.schemas.tables.embedding_tables import EMBEDDING_DRIFT, PROJECTION, SEMANTIC, SEMANTIC_ITEMS
from tests.checks.report.hostile import HOSTILE
from tests.run_files import digest, run_record

KNOWN = {
    "index": "20261126T000000Z", "sha256": digest("index"), "model": "minilm", "model_sha256": digest("model"),
    "units": 9216, "windows": 2343, "tokens": 278_092,
}  # fmt: skip


def write(folder: Path, name: str = "trivia", domains: int = 3, **drift: object) -> RunDirectory:
    """A run with every table of an index; ``name`` stands wherever text from a corpus can."""
    rng = np.random.default_rng(0)
    (folder / "tables").mkdir(parents=True)
    coordinates = rng.normal(size=(200, 2)).astype(np.float32)
    labels = [f"{name}-{i % domains}" for i in range(200)]
    tables = {
        "projection": pa.table(
            [pa.array(np.arange(200, dtype=np.uint64)), labels, coordinates[:, 0], coordinates[:, 1]], schema=PROJECTION
        ),
        "embedding_drift": pa.Table.from_pylist(
            [
                {
                    "baseline": "aa", "documents_before": 300, "documents_after": 200, "auc": 0.71, "low": 0.66,
                    "high": 0.76, "p": 0.01, "permutations": 99, "units": 9216, "units_moved": 31, "reason": None,
                } | drift
            ],
            schema=EMBEDDING_DRIFT,
        ),
        "semantic": pa.Table.from_pylist(
            [
                {
                    "benchmark": name, "items": 40, "untestable": 2, "near": 18, "share": 0.45, "low": 0.31,
                    "high": 0.6, "threshold": 0.81, "decoys": 500, "decoys_near": 4, "reason": None,
                }
            ],
            schema=SEMANTIC,
        ),
        "semantic_items": pa.Table.from_pylist(
            [
                {
                    "benchmark": name, "item": f"{name}{i}", "cosine": 0.8 + i / 100, "near": i >= 2, "window": i,
                    "domain": name, "document": name,
                }
                for i in range(20)
            ],
            schema=SEMANTIC_ITEMS,
        ),
    }  # fmt: skip
    for key, table in tables.items():
        pq.write_table(table, folder / "tables" / f"{key}.parquet")
    return RunDirectory(folder, run_record(embedding=KNOWN))


def page(view: ModelView) -> str:
    return str(section.section(view, _environment()))


@pytest.fixture
def view(tmp_path: Path) -> ModelView:
    result = section.load(write(tmp_path / "run"))
    assert result is not None
    return result


def test_a_run_without_a_model_has_no_section_and_one_without_an_index_says_so(tmp_path: Path) -> None:
    assert section.load(RunDirectory(tmp_path, run_record())) is None
    result = section.load(RunDirectory(tmp_path, run_record(embedding={"index": None, "reason": "no index of it"})))
    assert result is not None and "no index of it" in page(result)
    (finding,) = section.findings(result)
    assert finding.lines == ("no index of it",)


def test_sentences(view: ModelView) -> None:
    text = page(view)
    for phrase in ("AUC of 0.710 [0.660, 0.760]", "31 of 9,216 units moved", "above 0.810", "45.0", "trivia19"):
        assert phrase in text
    assert view.near == 18 and len(view.items) == 15 and "3 further items" in text
    assert view.items[0]["item"] == "trivia19" and "trivia1<" not in text
    (finding,) = section.findings(view)
    assert finding.anchor == "model" and all(len(line) <= 68 for line in finding.lines) and len(finding.lines) == 3


def test_drift_that_was_not_tested_is_reported(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("auc", "low", "high", "p", "units_moved"))
    result = section.load(write(tmp_path / "run", reason="fewer than 100 unshared documents", **nothing))
    assert result is not None and "could not be tested: fewer than 100 unshared documents" in page(result)


def test_every_window_is_drawn_once_in_its_domain(view: ModelView) -> None:
    assert [panel.name for panel in view.panels] == ["trivia-0", "trivia-1", "trivia-2"]
    pictures = projection_chart.panel_charts(view.panels)
    for panel, (name, size, picture) in zip(view.panels, pictures, strict=True):
        root = ET.fromstring(picture)
        (own,) = (path for path in root.iter("path") if path.get("class") == "dots own")
        assert own.get("d", "").count("M") == len(panel.positions) and name == panel.name and "window" in size
    # All of them stand behind the first; the others use that picture.
    first = ET.fromstring(pictures[0][2])
    (every,) = (path for path in first.iter("path") if path.get("id") == "projection-all")
    assert every.get("d", "").count("M") > 150
    assert all("#projection-all" in picture for _, _, picture in pictures[1:])


def test_many_domains_are_folded_and_positions_stay_in_the_picture(tmp_path: Path) -> None:
    result = section.load(write(tmp_path / "run", domains=20))
    assert result is not None and len(result.panels) == 8 and result.panels[-1].name == "13 further domains"
    assert sum(len(panel.positions) for panel in result.panels) == 200
    for _, _, picture in projection_chart.panel_charts(result.panels):
        for path in ET.fromstring(picture).iter("path"):
            numbers = path.get("d", "").replace("M", " ").replace("h0", " ").replace(",", " ").split()
            assert all(0 <= float(number) <= 200 for number in numbers)
    same = projection_chart.panel_charts([Panel("one", ((1.0, 1.0), (1.0, 1.0)))])
    assert "nan" not in same[0][2]


def test_a_ninth_domain_is_folded_and_an_eighth_is_not(tmp_path: Path) -> None:
    for domains, last in ((8, "trivia-7"), (9, "2 further domains")):
        result = section.load(write(tmp_path / str(domains), domains=domains))
        assert result is not None and len(result.panels) == 8 and result.panels[-1].name == last


def test_a_sample_is_called_one(view: ModelView) -> None:
    assert "A sample of 200 windows" in page(view)
    assert "All 200 windows" in page(replace(view, windows=200))


def test_remarks_have_a_column_where_there_are_any(view: ModelView) -> None:
    assert "Remark" not in page(view)
    untested = view.benchmarks[0] | {"share": None, "low": None, "high": None, "reason": "no decoys"}
    text = page(replace(view, benchmarks=(untested,)))
    assert "Remark" in text and "no decoys" in text


def test_the_held_out_share_stands_beside_its_count(view: ModelView) -> None:
    assert "Of 500 held-out windows, 4 (0.8 %) did" in page(view)
    none = replace(view, benchmarks=(view.benchmarks[0] | {"decoys": 0, "decoys_near": 0},))
    assert "Of 0 held-out windows, 0 did" in page(none)


def test_text_of_the_corpus_is_inert(tmp_path: Path) -> None:
    written = [
        text for text in HOSTILE if not any("\ud800" <= letter <= "\udfff" for letter in text)
    ]  # tables are UTF-8
    assert len(written) > 30
    for number, text in enumerate(written):
        result = section.load(write(tmp_path / str(number), name=text))
        assert result is not None
        shown = page(result)
        assert "<script" not in shown.lower() and "\x1b" not in shown and "\u202e" not in shown
        for finding in section.findings(result):
            assert all("\x1b" not in line for line in finding.lines)


def test_an_autoencoder_that_does_not_explain_what_it_reads_is_reported() -> None:
    bad = AutoencoderCheck(
        hook="blocks.0.hook_resid_post",
        tokens=256,
        largest=1e-7,
        undecided=0,
        active=12.5,
        explained_variance=-0.21,
        least_explained=0.3,
        notes=("it was trained on 128 tokens at once",),
    )
    good = bad.model_copy(update={"explained_variance": 0.8, "notes": ()})
    view = ModelView(model="m", units=3, windows=4, autoencoders={"bad": bad, "good": good})
    (finding,) = section.findings(view)
    text = " ".join(str(part) for sentence in finding.sentences for part in sentence)
    assert "bad" in text and "less than" in text and "128 tokens" in text and "good" not in text


def test_an_image_model_is_said_to_read_images(tmp_path: Path) -> None:
    result = section.load(RunDirectory(tmp_path, run_record(embedding={**KNOWN, "of_images": True})))
    assert result is not None
    text = page(result)
    assert "indexed over 2,343 images" in text and "token" not in text and "attention" not in text
    (finding,) = section.findings(result)
    assert any("2,343 images" in str(part) for sentence in finding.sentences for part in sentence)
