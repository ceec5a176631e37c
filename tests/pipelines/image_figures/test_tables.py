"""Tables and metrics of an image corpus, against plain Python over the album."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpus_audit.pipelines.image_figures import near_duplicate_shares
from corpus_audit.pipelines.image_figures.metrics import DECLARATIONS, image_metrics
from corpus_audit.pipelines.images import near_duplicates
from corpus_audit.pipelines.images.decoding import decode_image
from corpus_audit.pipelines.images.properties import image_properties
from corpus_audit.schemas.spec.slices import parts
from corpus_audit.schemas.tables.image_tables import IMAGE_TABLES
from corpus_audit.schemas.tables.metric_declarations import SLICE_KEYS
from corpus_audit.schemas.tables.run_tables import METRICS
from tests.pipelines.image_figures.making import tables_of
from tests.pipelines.image_measures.making import album, block_of, image_block
from tests.pipelines.images.making import LIMITS, encoded, smooth

DECODED = [decode_image(picture.data, LIMITS) for picture in album()]
DOMAINS = sorted({picture.domain for picture in album()})
HALF = len(album()) // 2


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    folder = tmp_path_factory.mktemp("tables")
    return tables_of(folder, [block_of(range(HALF)), block_of(range(HALF, len(album())))])


def rows(table: pa.Table, **values: Any) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in values.items())]


def test_tables_have_their_schemas_and_orders(tables: dict[str, pa.Table]) -> None:
    further = {"image_cluster_groups", "image_drift_sizes", "image_drift_kinds"}
    assert set(IMAGE_TABLES) - set(tables) == further | {name for name in IMAGE_TABLES if "benchmark" in name}
    for name, table in tables.items():
        assert table.schema.equals(IMAGE_TABLES[name], check_metadata=True), name
        assert len(table), name
    sizes = [(row["domain"], row["unit"], row["low"]) for row in tables["image_sizes"].to_pylist()]
    assert sizes == sorted(sizes)
    for name in ("image_files", "image_pictures"):
        keys = [(row["hash"], row["domain"]) for row in tables[name].to_pylist()]
        assert keys == sorted(set(keys))
    assert tables["image_duplicates"]["domain"].to_pylist()[:2] == ["(all)"] * 2


def test_totals_and_shares(tables: dict[str, pa.Table]) -> None:
    pixels: Counter[str] = Counter()
    for picture, image in zip(album(), DECODED, strict=True):
        pixels[picture.domain] += image.width * image.height
    assert {row["domain"]: row["pixels"] for row in tables["image_totals"].to_pylist()} == pixels
    for row in rows(tables["image_shares"], unit="pixels"):
        assert row["share"] == pixels[row["domain"]] / sum(pixels.values())
        assert row["low_simultaneous"] <= row["low"] < row["share"] < row["high"] <= row["high_simultaneous"]
        assert row["method"] == "Korn-Graubard, images"
    wide = {row["unit"]: row["high"] - row["low"] for row in rows(tables["image_shares"], domain="web")}
    assert wide["pixels"] > wide["images"]  # pixels come with images, some of which are large


def test_clusters_widen_and_sampling_removes_bounds(tmp_path: Path) -> None:
    numbers = [i for i, picture in enumerate(album()) if picture.cluster]
    clustered = tables_of(tmp_path / "a", [block_of(numbers, clustered=True)])
    assert set(clustered) >= {"image_cluster_groups"}
    assert all("random groups" in row["method"] for row in clustered["image_shares"].to_pylist())
    assert clustered["image_kinds"]["low"].null_count == len(clustered["image_kinds"])
    sampled = tables_of(tmp_path / "b", [block_of(range(HALF))], sampled=True)
    for name in ("image_shares", "image_duplicates", "image_kinds"):
        assert sampled[name]["low"].null_count == len(sampled[name]), name
    facts = image_metrics(sampled, sampled=True).to_pylist()
    bounded = {row["metric"] for row in facts if row["low"] is not None}
    assert all("_p" in name for name in bounded)  # quantiles are of the images that were read


def test_size_quantiles(tables: dict[str, pa.Table]) -> None:
    short = sorted(min(image.width, image.height) for image in DECODED)
    (median,) = rows(tables["image_size_quantiles"], domain="(all)", unit="short_side", quantile=0.5)
    assert median["value"] == short[-(-len(short) // 2) - 1]  # below 100 sizes are exact
    assert median["images"] == len(album()) and median["low"] <= median["value"] <= median["high"]


def test_kinds(tables: dict[str, pa.Table]) -> None:
    expected = Counter(image.format for image in DECODED)
    got = rows(tables["image_kinds"], domain="(all)", property="format")
    assert {row["value"]: row["images"] for row in got} == expected
    assert [row["images"] for row in got] == sorted(expected.values(), reverse=True)
    assert all(row["low"] <= row["share"] <= row["high"] and row["total"] == len(album()) for row in got)


def test_copies(tables: dict[str, pa.Table]) -> None:
    keys = {
        "bytes": [picture.data for picture in album()],
        "pixels": [(d.height, d.width, d.mode, d.pixels.tobytes()) for d in DECODED],
    }
    for by, each in keys.items():
        for name in ["(all)", *DOMAINS]:
            mine = [key for key, picture in zip(each, album(), strict=True) if name in ("(all)", picture.domain)]
            where: dict[Any, set[str]] = {}
            for key, picture in zip(each, album(), strict=True):
                where.setdefault(key, set()).add(picture.domain)
            (row,) = rows(tables["image_duplicates"], by=by, domain=name)
            assert (row["images"], row["distinct"]) == (len(mine), len(set(mine)))
            assert row["across_images"] == sum(len(where[key]) > 1 for key in mine)
            assert row["low"] <= row["share"] == row["duplicate_images"] / row["images"] <= row["high"]


def expected_near(scope: str, domain: str) -> tuple[int, int, int]:
    """(images compared, near, sets) by comparing all pairs of pictures of the album."""
    images = block_of(range(len(album()))).images
    assert images is not None
    keys: dict[tuple[int, str], int] = {}
    first: dict[int, int] = {}
    for i, picture in enumerate(album()):
        if not images.flat[i]:
            keys[int(images.pixel_high[i]), picture.domain] = (
                keys.get((int(images.pixel_high[i]), picture.domain), 0) + 1
            )
            first[int(images.pixel_high[i])] = i
    nodes = list(keys)
    edges = []
    for a in range(len(nodes)):
        for b in range(a + 1, len(nodes)):
            i, j = first[nodes[a][0]], first[nodes[b][0]]
            difference = images.patches[i].astype(int) - images.patches[j]
            close = (int(images.phash[i]) ^ int(images.phash[j])).bit_count() <= 8
            near = close and (difference**2).sum() // 192 <= 400 and nodes[a][0] != nodes[b][0]
            if near and (nodes[a][1] == nodes[b][1]) == (scope == "within"):
                edges.append((a, b))
    label = list(range(len(nodes)))
    for a, b in edges * len(nodes):
        label[a] = label[b] = min(label[a], label[b])
    inside = [n for n in range(len(nodes)) if domain in ("(all)", nodes[n][1])]
    touched = [n for n in inside if any(n in edge for edge in edges)]
    total = sum(keys[nodes[n]] for n in inside)
    return total, sum(keys[nodes[n]] for n in touched), len({label[n] for n in touched})


@pytest.mark.parametrize("scope", ["within", "across"])
def test_near_duplicates_are_those_of_comparing_all_pairs(tables: dict[str, pa.Table], scope: str) -> None:
    for name in ["(all)", *DOMAINS]:
        (row,) = rows(tables["image_near_duplicates"], scope=scope, domain=name)
        assert (row["images"], row["near_images"], row["groups"]) == expected_near(scope, name)
        assert row["low"] <= row["share"] <= row["high"] and row["reason"] is None
    (whole,) = rows(tables["image_near_duplicates"], scope="across", domain="(all)")
    assert whole["near_images"] >= 8 and whole["flat"] == 3  # JPEGs of four pictures that other domains have as PNG


def test_listed_pairs_are_near_and_the_nearest_come_first(tables: dict[str, pa.Table]) -> None:
    pairs = tables["image_near_pairs"].to_pylist()
    phash = {row["hash"]: row["phash"] for row in tables["image_pictures"].to_pylist()}
    assert pairs and [row["bits"] for row in pairs] == sorted(row["bits"] for row in pairs)
    for row in pairs:
        assert (phash[row["hash"]] ^ phash[row["near_hash"]]).bit_count() == row["bits"] <= near_duplicates.THRESHOLD


def test_the_interval_knows_that_sets_are_near_or_not_as_a_whole(tmp_path: Path) -> None:
    """Twelve versions of one picture tell less about a source than two versions of each of six."""
    singles = [encoded(smooth(seed, 64, 64)) for seed in range(40, 52)]
    one = [encoded(smooth(1, 64, 64), "JPEG", quality=quality) for quality in range(50, 98, 4)]
    six = [encoded(smooth(seed, 64, 64), "JPEG", quality=q) for seed in range(6) for q in (70, 95)]
    widths = []
    for number, near in enumerate((one, six)):
        images, _ = image_properties(singles + near, LIMITS)
        table = tables_of(tmp_path / str(number), [image_block(images, ["a"] * len(images))])["image_near_duplicates"]
        (row,) = rows(table, scope="within", domain="a")
        assert row["near_images"] == 12
        widths.append(row["high"] - row["low"])
    assert widths[0] > 1.3 * widths[1]


def test_too_many_pictures_or_pairs_give_a_reason(tables: dict[str, pa.Table], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicate_shares, "MOST_PICTURES", 5)
    table, pairs = near_duplicate_shares.near_duplicate_tables(tables["image_pictures"].drop_columns(["patch"]))
    assert len(pairs) == 0 and table["share"].null_count == len(table)
    assert "more than the 5 that are compared" in table["reason"][0].as_py()
    monkeypatch.setattr(near_duplicate_shares, "MOST_PICTURES", 500)
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 2)
    table, _ = near_duplicate_shares.near_duplicate_tables(tables["image_pictures"])
    assert "more than 2 pairs" in table["reason"][0].as_py()
    metrics = image_metrics(tables | {"image_near_duplicates": table}).to_pylist()
    near = [row for row in metrics if row["metric"] == "image_near_duplicate_share_within"]
    assert near and all(row["value"] is None and "more than 2 pairs" in row["reason"] for row in near)


def test_metrics_are_those_declared(tables: dict[str, pa.Table]) -> None:
    metrics = image_metrics(tables)
    assert metrics.schema.equals(METRICS)
    declared = {metric.name: metric for metric in DECLARATIONS}
    each = metrics.to_pylist()
    assert {row["metric"] for row in each} == set(declared)
    for row in each:
        metric = declared[row["metric"]]
        keys = tuple(key for key, _ in parts(row["slice"]))
        assert row["unit"] == metric.unit and keys in SLICE_KEYS[metric.slices]
        assert row["value"] is not None and row["reason"] is None
        assert row["low"] is None or row["low"] <= row["value"]
        assert row["high"] is None or row["value"] <= row["high"]
        if metric.bounds == "fact":
            assert row["low"] == row["value"] == row["high"]
    value = {(row["metric"], row["slice"]): row["value"] for row in each}
    count = len(album())
    assert value["images", "all"] == count and value["image_bytes", "all"] == sum(len(p.data) for p in album())
    assert value["mislabelled_image_share", "all"] == pytest.approx(2 / count)
    assert value["flat_image_share", "domain=scans"] == pytest.approx(3 / sum(p.domain == "scans" for p in album()))
    assert value["animated_image_share", "domain=studio"] == 0 and value["turned_image_share", "domain=studio"] > 0
    aspects = sorted(1000 * max(d.width, d.height) // min(d.width, d.height) for d in DECODED)
    assert value["image_aspect_p50", "all"] == pytest.approx(aspects[-(-count // 2) - 1] / 1000, rel=0.01)


def test_an_unusual_kind_of_all_images_has_a_lower_bound(tmp_path: Path) -> None:
    images, _ = image_properties([encoded(np.full((9, 9, 3), n, np.uint8)) for n in range(30)], LIMITS)
    metrics = image_metrics(tables_of(tmp_path, [image_block(images, ["a"] * 30)])).to_pylist()
    (row,) = [row for row in metrics if (row["metric"], row["slice"]) == ("flat_image_share", "all")]
    assert (row["value"], row["high"]) == (1, 1) and 0.8 < row["low"] < 0.95
    (near,) = [r for r in metrics if (r["metric"], r["slice"]) == ("image_near_duplicate_share_within", "all")]
    assert near["value"] is None and near["reason"] == "there are no images here that are not flat"


def test_no_images(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, [block_of([])])
    assert all(
        len(table) == 0 for name, table in tables.items() if name not in ("image_duplicates", "image_near_duplicates")
    )
    facts = {(row["metric"], row["value"]) for row in image_metrics(tables).to_pylist()}
    assert ("images", 0.0) in facts and ("image_duplicate_share_bytes", None) in facts
