"""Benchmark images among a run's pictures: copies are matched, others not; planted copies tell what is missed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.image_figures.benchmark_copies import DECLARATIONS, benchmark_metrics, benchmark_tables
from corpus_audit.pipelines.images import near_duplicates
from corpus_audit.pipelines.images.benchmarks import COPY_KINDS, benchmark_digest, read_benchmark
from corpus_audit.pipelines.images.near_duplicates import TooManyPairs, close_between
from corpus_audit.pipelines.images.properties import image_properties
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.slices import parts
from corpus_audit.schemas.tables.image_tables import IMAGE_TABLES
from corpus_audit.schemas.tables.metric_declarations import SLICE_KEYS
from tests.pipelines.image_figures.making import tables_of
from tests.pipelines.image_measures.making import image_block
from tests.pipelines.images.making import LIMITS, encoded, smooth


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty items; five of them are in the corpus, two again as JPEGs; a grey one, a damaged one and a page."""
    below = tmp_path_factory.mktemp("benchmark")
    (below / "more").mkdir()
    for seed in range(20):
        where = below / "more" if seed % 2 else below
        (where / f"{seed:02}.png").write_bytes(encoded(smooth(seed, 90, 70)))
    (below / "grey.png").write_bytes(encoded(np.full((9, 9, 3), 200, np.uint8)))
    (below / "cut.png").write_bytes(encoded(smooth(50))[:200])
    (below / "README.md").write_text("a test set")
    return below


@pytest.fixture(scope="module")
def tables(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    corpus = [encoded(smooth(seed, 90, 70), "BMP") for seed in range(3)]
    corpus += [encoded(smooth(seed, 90, 70), "JPEG", quality=70) for seed in (3, 4)]
    corpus += [encoded(smooth(seed, 90, 70)) for seed in range(100, 160)]
    corpus.append(encoded(np.full((9, 9, 3), 200, np.uint8)))
    images, _ = image_properties(corpus + corpus[:1], LIMITS)
    domains = ["ab"[i % 2] for i in range(len(images))]
    pictures = tables_of(tmp_path_factory.mktemp("corpus"), [image_block(images, domains)])["image_pictures"]
    return benchmark_tables(pictures, [("test", folder)], LIMITS)


def test_copies_of_items_are_matched_and_no_others(tables: dict[str, pa.Table]) -> None:
    for name, table in tables.items():
        assert table.schema.equals(IMAGE_TABLES[name], check_metadata=True)
    (row,) = tables["image_benchmarks"].to_pylist()
    assert (row["items"], row["refused"], row["flat"]) == (21, 1, 1)
    assert (row["exact"], row["near"]) == (4, 2)  # the grey one too, by its pixels
    assert row["low"] < row["share"] == 6 / 21 < row["high"]
    matched = {(m["item"], m["match"]) for m in tables["image_benchmark_matches"].to_pylist()}
    exact = {("00.png", "exact"), ("more/01.png", "exact"), ("02.png", "exact"), ("grey.png", "exact")}
    assert matched == exact | {("more/03.png", "near"), ("04.png", "near")}
    first = [m for m in tables["image_benchmark_matches"].to_pylist() if m["item"] == "00.png"]
    assert [(m["domain"], m["images"], m["bits"], m["distance"]) for m in first] == [("a", 2, 0, 0)] or len(first) == 2


def test_planted_copies_say_what_the_search_finds(tables: dict[str, pa.Table]) -> None:
    checks = {row["copy"]: row for row in tables["image_benchmark_check"].to_pylist()}
    assert set(checks) == {kind.name for kind in COPY_KINDS}
    assert all(row["planted"] == 20 for row in checks.values())
    assert all(row["found"] == 20 for row in checks.values() if row["required"])
    assert checks["jpeg"]["found"] >= 19 and checks["half"]["found"] >= 19 and checks["mirrored"]["found"] <= 1


def test_metrics_are_those_declared(tables: dict[str, pa.Table]) -> None:
    declared = {metric.name: metric for metric in DECLARATIONS}
    rows = benchmark_metrics(tables).to_pylist()
    assert {row["metric"] for row in rows} == set(declared)
    for row in rows:
        keys = tuple(key for key, _ in parts(row["slice"]))
        assert keys in SLICE_KEYS[declared[row["metric"]].slices] and row["unit"] == "share"
        assert row["low"] <= row["value"] <= row["high"]
    assert {row["n"] for row in rows} == {20, 21}


def test_a_benchmark_of_grey_images_plants_nothing(tmp_path: Path, tables: dict[str, pa.Table]) -> None:
    (tmp_path / "grey.png").write_bytes(encoded(np.full((9, 9, 3), 3, np.uint8)))
    empty = IMAGE_TABLES["image_pictures"].empty_table()
    made = benchmark_tables(empty, [("grey", tmp_path)], LIMITS)
    assert made["image_benchmarks"]["share"].to_pylist() == [0.0] and len(made["image_benchmark_matches"]) == 0
    recall = [row for row in benchmark_metrics(made).to_pylist() if row["metric"] == "image_canary_recall"]
    assert all(row["value"] is None and "nearly one grey" in row["reason"] for row in recall)


def test_benchmarks_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    for what, match in ((tmp_path / "none", "no folder"), (tmp_path, "no image file")):
        with pytest.raises(UsageError, match=match):
            read_benchmark("b", what, LIMITS)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match="can be decoded"):
        read_benchmark("b", tmp_path, LIMITS)


def test_the_digest_follows_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    digests = [benchmark_digest("b", tmp_path)]
    (tmp_path / "notes.txt").write_text("not an image")
    assert benchmark_digest("b", tmp_path) == digests[0]
    (tmp_path / "a.png").write_bytes(b"2")
    digests.append(benchmark_digest("b", tmp_path))
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    digests.append(benchmark_digest("b", tmp_path))
    assert len(set(digests)) == 3


@settings(max_examples=15, deadline=None)
@given(
    left=st.lists(st.integers(0, 2**64 - 1), max_size=6),
    copies=st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 63), max_size=12)), max_size=20),
    threshold=st.integers(0, 11),
    small=st.booleans(),
)
def test_pairs_between_two_sets_are_those_of_comparing_all(
    left: list[int], copies: list[tuple[int, list[int]]], threshold: int, small: bool
) -> None:
    right = [left[of % len(left)] ^ sum(1 << bit for bit in set(bits)) for of, bits in copies] if left else [1, 2]
    expected = [(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if (a ^ b).bit_count() <= threshold]
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(near_duplicates, "_SLICE", 3)
        pairs = close_between(np.array(left, np.uint64), np.array(right, np.uint64), threshold)
    assert list(zip(*(column.tolist() for column in pairs), strict=True)) == expected


def test_too_many_pairs_between_two_sets_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 5)
    with pytest.raises(TooManyPairs):
        close_between(np.zeros(9, np.uint64), np.zeros(9, np.uint64))
