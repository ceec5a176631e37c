"""Crops of units that an index stores for the report: of which units, which pixels, and none with excerpts: false."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from corpus_audit.checks.report.activations.section import load, section  # noqa: E402
from corpus_audit.checks.report.page.html import _environment  # noqa: E402
from corpus_audit.embeddings.build.build import build_index  # noqa: E402
from corpus_audit.embeddings.build.unit_crops import EXAMPLES, LOSSLESS, SIDE, UNITS, crop_columns  # noqa: E402
from corpus_audit.embeddings.images import model as image_model_module  # noqa: E402
from corpus_audit.embeddings.images.lookups.crops import Crop, crops_of  # noqa: E402
from corpus_audit.embeddings.index.reader import open_index  # noqa: E402
from corpus_audit.embeddings.lookup.compare_units import preferences  # noqa: E402
from corpus_audit.pipelines.storage.run_directory import RunDirectory, StagedRun  # noqa: E402
from corpus_audit.runners.audit.index_facts import add_index  # noqa: E402
from corpus_audit.schemas.spec.audit_file import load_audit  # noqa: E402
from corpus_audit.schemas.tables.run_tables import METRICS  # noqa: E402
from tests.embeddings.images.test_image_index import picture, png, small_parts, write_audit  # noqa: E402
from tests.run_files import run_record  # noqa: E402

COUNT = 70


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An index of two domains, of which b is red; its audit."""
    folder = tmp_path_factory.mktemp("crops")
    (folder / "data").mkdir()
    rows = []
    for i in range(COUNT):
        pixels = picture(i)
        if i % 2:
            pixels[..., 0], pixels[..., 1:] = 255, pixels[..., 1:] // 4
        rows.append({"id": f"image-{i}", "kind": "ab"[i % 2], "caption": "", "image": {"bytes": png(pixels)}})
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "0.parquet", row_group_size=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_model_module, "small_parts", small_parts, raising=False)
        loaded = write_audit(folder, units=["conv.stem:*", "logit:*"], vectors=None)
        yield folder, loaded, build_index(loaded).folder


def table_of(folder):
    return pq.read_table(folder / "unit_crops.parquet")


def test_units_that_prefer_a_domain_are_listed_and_then_those_that_fire_on_few_images(built):
    _, _, folder = built
    index, table = open_index(folder.parent), table_of(folder)
    units = {row["unit"]: row for row in table.to_pylist()}
    assert len(units) == UNITS and len(table) <= UNITS * EXAMPLES
    by_domain = {row["domain"]: row for row in units.values() if row["domain"]}
    assert set(by_domain) == {"a", "b"}
    names = list(index.units())
    for name, row in by_domain.items():
        compared = preferences(index, name, np.arange(len(names)))
        best = int(np.argmax(compared.certain))
        assert row["unit"] == str(names[best]) and 0 < row["low"] < row["mean"] - row["elsewhere"] < row["high"]
        rate = next(each for each in index.domain_rates(row["unit"]) if each.domain == name)
        assert row["mean"] == pytest.approx(rate.mean)
    shares = [row["fired"] for row in units.values() if row["domain"] is None]
    assert shares == sorted(shares) and all(share * COUNT >= EXAMPLES - 1e-9 for share in shares)


def test_a_stored_crop_is_the_receptive_field_of_the_peak(built):
    _, loaded, folder = built
    index = open_index(folder.parent)
    rows = [row for row in table_of(folder).to_pylist() if row["unit"].startswith("conv.stem:")]
    assert rows
    for name in dict.fromkeys(row["unit"] for row in rows):
        examples = index.lookup(name, k=EXAMPLES)
        own = [row for row in rows if row["unit"] == name]
        unit = next(each for each in index.units() if str(each) == name)
        for row, example, crop in zip(own, examples, crops_of(index, unit, examples, loaded), strict=True):
            assert (row["rank"], row["value"]) == (example.rank, np.float32(example.value))
            assert row["document"] == example.locations[0].id and row["image_domain"] == example.locations[0].domain
            assert row["shows"] == "field" and row["box"] == list(crop.box)
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(row["crop"]))), crop.cropped)


def test_of_a_field_that_is_the_whole_image_the_effective_one_is_stored(built):
    _, _, folder = built
    rows = [row for row in table_of(folder).to_pylist() if row["unit"].startswith("logit:")]
    assert rows and {row["shows"] for row in rows} == {"effective"}
    for row in rows:
        left, top, right, bottom = row["box"]
        assert 0.95 <= row["share"] <= 1 and row["label"] in "abcde"
        assert max(row["width"], row["height"]) == min(max(right - left, bottom - top), SIDE)


@pytest.mark.parametrize("shape", [(200, 90), (64, 64), (33, 20), (32, 32), (1, 1)])
def test_no_crop_is_larger_than_said(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)  # noise compresses worst
    columns = crop_columns(Crop(pixels, (0, 0, shape[1], shape[0])))
    stored = Image.open(io.BytesIO(columns["crop"]))
    assert stored.size == (columns["width"], columns["height"]) and max(stored.size) <= SIDE
    assert stored.format == ("PNG" if max(shape) <= LOSSLESS else "JPEG") and len(columns["crop"]) < 9_000


def test_a_patch_is_framed_in_its_image():
    columns = crop_columns(Crop(np.zeros((16, 16, 3), np.uint8), (4, 8, 8, 12), is_patch=True))
    framed = np.asarray(Image.open(io.BytesIO(columns["crop"])))[..., 0] > 200
    expected = np.zeros((16, 16), bool)
    expected[8:12, 4:8] = True
    expected[9:11, 5:7] = False
    assert columns["shows"] == "patch" and columns["box"] == [4, 8, 8, 12]
    np.testing.assert_array_equal(framed, expected)


def section_of(tmp_path, loaded, digest):
    staged = StagedRun(tmp_path / "runs", "20261126T000000Z")
    staged.add_table("metrics", [METRICS.empty_table()])
    facts = add_index(staged, run_record(snapshot={"digest": digest}), loaded.spec, loaded.base)
    view = load(RunDirectory(staged.folder, facts))
    return view, str(section(view, _environment()))


def test_the_report_shows_the_sheets_unless_the_run_keeps_no_excerpts(built, tmp_path):
    _, loaded, folder = built
    index = open_index(folder.parent)
    view, text = section_of(tmp_path / "kept", loaded, index.facts.snapshot)
    assert view.has_pictures and text.count("<img") == len(table_of(folder))
    (example, *_) = index.lookup(view.sheets[0].unit, k=1)
    place = example.locations[0]
    assert f"image {place.id} of the domain {place.domain}, activation {example.value:.3f}" in text
    bare = replace(loaded, spec=loaded.spec.model_copy(update={"excerpts": False}))
    view, text = section_of(tmp_path / "bare", bare, index.facts.snapshot)
    assert view.sheets is None and "<img" not in text and "no contact sheets" in text


def test_an_index_of_an_audit_without_excerpts_stores_no_crop(built, monkeypatch):
    folder, _, _ = built
    monkeypatch.setattr(image_model_module, "small_parts", small_parts, raising=False)
    audit = json.loads((folder / "audit.yaml").read_text()) | {"excerpts": False}
    (folder / "bare.yaml").write_text(json.dumps(audit))
    result = build_index(load_audit(folder / "bare.yaml"))
    assert result.splits_scanned == 0 and "unit_crops.parquet" not in result.facts.files
    assert not (result.folder / "unit_crops.parquet").exists()
