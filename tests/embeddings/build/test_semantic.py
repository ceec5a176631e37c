"""Semantic contamination and projection on a small index, with an encoder whose vectors are known."""

import numpy as np
import pytest

from corpus_audit.embeddings import open_index
from corpus_audit.embeddings.build.projection import project
from corpus_audit.embeddings.build.semantic import LEAST_DECOYS, semantic_contamination, threshold
from corpus_audit.embeddings.lookup.search import WindowSearch
from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark, Item
from tests.embeddings.made import write_small_index


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    folder, *_ = write_small_index(tmp_path_factory.mktemp("index") / "out", documents=400)
    return WindowSearch(open_index(folder))


class Encoder:
    """Gives the texts "row N" the vector of that window, turned away by a little or by much; "" none."""

    def __init__(self, search, rng):
        self._search, self._rng = search, rng

    def means(self, texts):
        result = np.zeros((len(texts), self._search.width), np.float32)
        for i, text in enumerate(texts):
            if text.startswith("row "):
                result[i] = self._search.vectors("mean")[int(text[4:])]
            elif text == "far":
                away = self._rng.normal(size=self._search.width)
                result[i] = away / np.linalg.norm(away)
        return result


def brute_threshold(search):
    """Nearest other cosine of every window of the first thousand, by all pairs."""
    vectors = np.asarray(search.vectors("mean"), np.float64)
    documents = [search.document_of(row) for row in range(search.windows)]
    result = []
    for row in range(min(1000, search.windows)):
        scores = vectors @ vectors[row]
        same = np.array([document == documents[row] for document in documents])
        result.append(scores[~same & (scores < 1 - 1e-6)].max())
    return np.array(result)


def test_the_threshold_is_learned_from_windows_of_other_documents(search):
    result, expected = threshold(search), brute_threshold(search)
    assert result.cosine == pytest.approx(np.quantile(expected[::2], 0.99, method="higher"))
    assert (result.decoys, result.near) == (len(expected[1::2]), int((expected[1::2] > result.cosine + 1e-9).sum()))
    assert result.near / result.decoys < 0.04


def test_few_windows_are_no_threshold(tmp_path):
    folder, *_ = write_small_index(tmp_path / "out", documents=30)
    small = WindowSearch(open_index(folder))
    assert small.windows < LEAST_DECOYS and np.isnan(threshold(small).cosine)
    items = Benchmark("few", (Item("a", "row 3"),), 1)
    tables = semantic_contamination(small, Encoder(small, np.random.default_rng(0)), [items])
    (row,) = tables["semantic"].to_pylist()
    assert row["share"] is None and row["near"] is None and "no threshold" in row["reason"]
    assert tables["semantic_items"]["near"].to_pylist() == [None]


def test_items_are_told_apart(search):
    rng = np.random.default_rng(1)
    planted = Benchmark("planted", tuple(Item(f"p{i}", f"row {i * 3}") for i in range(20)), 20)
    other = Benchmark("other", (*(Item(f"o{i}", "far") for i in range(19)), Item("none", "")), 20)
    tables = semantic_contamination(search, Encoder(search, rng), [planted, other])
    first, second = tables["semantic"].to_pylist()
    assert (first["items"], first["near"], first["share"], first["high"]) == (20, 20, 1.0, 1.0) and first["low"] > 0.8
    assert (second["items"], second["untestable"]) == (19, 1) and second["share"] <= 0.2
    items = tables["semantic_items"].to_pylist()
    assert [row["item"] for row in items[:20]] == [f"p{i}" for i in range(20)]
    for i, row in enumerate(items[:20]):
        assert row["cosine"] == pytest.approx(1) and row["near"]
        assert search.names(i * 3) == row["window"] and row["document"] == search.location_of(i * 3)
        assert row["domain"] in ("books", "web")
    assert items[-1] == {
        "benchmark": "other", "item": "none", "cosine": None, "near": None, "window": None, "domain": None,
        "document": None,
    }  # fmt: skip


@pytest.mark.slow
def test_projection_is_deterministic_and_keeps_neighbours(search):
    points = project(search, 300)
    assert points.equals(project(search, 300)) and len(points) == 300
    assert points["window"].to_pylist() == search.names(np.arange(300)).tolist()
    assert set(points["domain"].to_pylist()) == {"books", "web"}
    places = np.stack([points["x"].to_numpy(), points["y"].to_numpy()], axis=1)
    vectors = np.asarray(search.vectors("mean")[:300], np.float64)
    near = np.argsort(-(vectors @ vectors.T) + 9 * np.eye(300), axis=1)[:, :5]
    drawn = np.argsort(((places[:, None] - places[None]) ** 2).sum(axis=2) + 1e9 * np.eye(300), axis=1)[:, :15]
    kept = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(near.tolist(), drawn.tolist(), strict=True)])
    assert kept > 0.5  # by chance it would be 0.05
    assert len(project(search, 5)) == 0
