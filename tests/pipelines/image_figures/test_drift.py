"""Sizes and kinds of images then and now: nothing moves where nothing did, and planted changes are told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpus_audit.pipelines.image_figures.drift import DECLARATIONS, image_drift_metrics, image_drift_tables
from corpus_audit.pipelines.images.properties import ImageProperties, image_properties
from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
from corpus_audit.schemas.spec.slices import parts
from corpus_audit.schemas.tables.image_tables import IMAGE_DRIFT_KINDS, IMAGE_DRIFT_SIZES, IMAGE_TABLES
from corpus_audit.schemas.tables.metric_declarations import SLICE_KEYS
from tests.pipelines.image_figures.making import tables_of
from tests.pipelines.image_measures.making import image_block
from tests.pipelines.images.making import LIMITS, encoded, smooth
from tests.run_files import write_run_json


def pictures(seeds: Sequence[int], scale: float = 1.0, formats: Sequence[str] = ("PNG",)) -> ImageProperties:
    """Small images of sides around 40, log-normal, in formats by turns."""
    random = np.random.default_rng(7)
    sides = {seed: np.exp(random.normal(3.7, 0.3, 2)) for seed in range(400)}
    shapes = [np.maximum(2, scale * sides[seed]).astype(int).tolist() for seed in seeds]
    files = [
        encoded(smooth(seed, *shape, cells=2), formats[seed % len(formats)])
        for seed, shape in zip(seeds, shapes, strict=True)
    ]
    return image_properties(files, LIMITS, thumbnails=False)[0]


def run_of(folder: Path, images: ImageProperties) -> RunDirectory:
    domains = ["even" if i % 2 == 0 else "odd" for i in range(len(images))]
    tables = tables_of(folder / "partials", [image_block(images, domains)])
    (folder / "run" / "tables").mkdir(parents=True)
    write_run_json(folder / "run")
    for name, table in tables.items():
        write_table(folder / "run" / "tables" / f"{name}.parquet", IMAGE_TABLES[name], [table])
    return RunDirectory(folder / "run")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return run_of(tmp_path_factory.mktemp("before"), pictures(range(200)))


def drift(before: RunDirectory, now: RunDirectory) -> tuple[dict[str, pa.Table], dict[tuple[str, str], float | None]]:
    tables = image_drift_tables("last", before, now)
    assert tables["image_drift_sizes"].schema.equals(IMAGE_DRIFT_SIZES, check_metadata=True)
    assert tables["image_drift_kinds"].schema.equals(IMAGE_DRIFT_KINDS, check_metadata=True)
    metrics = image_drift_metrics(tables, now.table("image_totals")).to_pylist()
    declared = {metric.name: metric for metric in DECLARATIONS}
    assert {row["metric"] for row in metrics} == set(declared)
    for row in metrics:
        keys = tuple(key for key, _ in parts(row["slice"]))
        assert keys in SLICE_KEYS[declared[row["metric"]].slices] and row["unit"] == declared[row["metric"]].unit
        assert row["n"] in (100, 200)
    return tables, {(row["metric"], row["slice"]): row["value"] for row in metrics}


def test_the_same_images_did_not_change(before: RunDirectory, tmp_path: Path) -> None:
    tables, value = drift(before, before)
    sizes = tables["image_drift_sizes"]
    assert set(sizes["change"].to_pylist()) == set(sizes["low"].to_pylist()) == set(sizes["high"].to_pylist()) == {0.0}
    kinds = tables["image_drift_kinds"].to_pylist()
    assert all(row["difference"] == 0 and row["p"] in (1, None) for row in kinds)
    assert value["image_size_drift_p", "baseline=last"] is None  # nothing to test: they are the same files


def test_other_images_of_the_same_source_did_not_drift(before: RunDirectory, tmp_path: Path) -> None:
    _, value = drift(before, run_of(tmp_path, pictures(range(200, 400))))
    assert value["image_size_drift_p", "baseline=last"] > 0.05  # type: ignore[operator]
    assert value["image_kind_drift_p", "baseline=last"] == 1
    assert value["image_size_drift_p", "baseline=last,domain=even"] > 0.05  # type: ignore[operator]


def test_larger_images_in_other_formats_are_told(before: RunDirectory, tmp_path: Path) -> None:
    now = run_of(tmp_path, pictures(range(100, 300), 1.5, ("PNG", "JPEG", "PNG")))
    tables, value = drift(before, now)
    assert value["image_size_drift_p", "baseline=last"] < 1e-6  # type: ignore[operator]
    assert value["image_kind_drift_p", "baseline=last"] < 1e-6  # type: ignore[operator]
    change = value["image_short_side_median_change", "baseline=last"]
    assert change == pytest.approx(np.log2(1.5), abs=0.2)
    (jpeg,) = [row for row in tables["image_drift_kinds"].to_pylist() if row["value"] == "JPEG"]
    assert jpeg["share_baseline"] == 0 and 0 < jpeg["low"] < jpeg["share_current"] == pytest.approx(0.335, abs=0.01)
    (gap,) = [
        row
        for row in tables["image_drift_sizes"].to_pylist()
        if (row["statistic"], row["domain"], row["unit"]) == ("ks", "(all)", "pixels")
    ]
    assert gap["low"] > 0.2 and gap["p"] < 1e-6


def test_files_that_both_hold_narrow_the_bounds(before: RunDirectory, tmp_path: Path) -> None:
    """150 of 200 files are the same, one more time each in all."""
    shared, _ = drift(before, run_of(tmp_path / "a", pictures([*range(150), *range(200, 250)])))
    apart, _ = drift(before, run_of(tmp_path / "b", pictures(range(200, 400))))

    def width(tables: dict[str, pa.Table]) -> float:
        (row,) = [
            row
            for row in tables["image_drift_sizes"].to_pylist()
            if (row["statistic"], row["domain"], row["unit"]) == ("mean", "(all)", "pixels")
        ]
        return row["high"] - row["low"]

    assert width(shared) < 0.7 * width(apart)


def test_rare_kinds_are_not_tested(before: RunDirectory, tmp_path: Path) -> None:
    """One JPEG among 200 images is 1 of the few that the normal approximation needs; images that are all alike are."""
    now = run_of(tmp_path, pictures(range(200, 400), 1.0, (*["PNG"] * 399, "JPEG")))
    tables, _ = drift(before, now)
    kinds = {(row["property"], row["value"]): row for row in tables["image_drift_kinds"].to_pylist()}
    assert kinds["format", "JPEG"]["p"] is None and "too few" in kinds["format", "JPEG"]["reason"]
    assert kinds["orientation", "1"]["p"] == 1
