"""Search in windows: exact against brute force, filters, and what is refused."""

import json

import numpy as np
import pytest

from corpus_audit.embeddings import open_index
from corpus_audit.embeddings.index import vectors
from corpus_audit.embeddings.lookup.search import WindowSearch
from corpus_audit.embeddings.models.directions import load_vectors, read_direction
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import UsageError
from tests.embeddings.made import vectors_of, write_small_index


@pytest.fixture(scope="module", params=["plain", "coded"])
def small(request, tmp_path_factory):
    """An index whose vectors have no codes, as they are few, and one whose vectors have them."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "coded":
            patch.setattr(vectors, "LEAST_CODED", 1)
        folder, windows, _, texts = write_small_index(tmp_path_factory.mktemp("index") / "out", documents=120)
    assert len(list(folder.glob("arrays/vector.*.codes.npy"))) == (2 if request.param == "coded" else 0)
    return open_index(folder), windows, texts


def ranked(windows, query, kind, of):
    """Windows by cosine, best first, each text once: (cosine, window, document)."""
    exact = getattr(vectors_of(windows), kind).astype(np.float64)
    scores = exact @ (query / np.linalg.norm(query))
    order = sorted(range(len(windows)), key=lambda i: (-scores[i], int(windows.ids[i, 0])))
    texts, result = set(), []
    for i in order:
        if of(int(windows.document[i])) and windows.texts[i] not in texts:
            texts.add(windows.texts[i])
            result.append((scores[i], int(windows.ids[i, 0]), int(windows.document[i])))
    return result


@pytest.mark.parametrize("kind", ["mean", "peak"])
@pytest.mark.parametrize("domain", [None, "web"])
def test_nearest_windows_are_those_of_brute_force(small, kind, domain):
    index, windows, _ = small
    search = WindowSearch(index)
    for seed in range(10):
        query = np.random.default_rng(seed).normal(size=8)
        result = search.nearest(query, 15, kind=kind, domain=domain)
        expected = ranked(windows, query, kind, lambda d: domain is None or d % 2 == 1)
        np.testing.assert_allclose(
            [example.value for example in result], [score for score, _, _ in expected[:15]], rtol=1e-12
        )
        # Windows whose scores differ in the last bit alone may come in either order: sums are rounded as the CPU adds.
        by_window = {window: (score, document) for score, window, document in expected}
        assert len({example.window for example in result}) == 15
        for example in result:
            score, document = by_window[example.window]
            assert example.value == pytest.approx(score, rel=1e-12) and example.locations[0].id == f"doc-{document}"


def test_at_most_so_many_of_a_document(small):
    index, windows, _ = small
    query = np.random.default_rng(1).normal(size=8)
    result = WindowSearch(index).nearest(query, 20, per_document=1)
    expected, seen = [], set()
    for _, window, document in ranked(windows, query, "mean", lambda d: True):
        if document not in seen:
            seen.add(document)
            expected.append(window)
    assert [example.window for example in result] == expected[:20]


def test_more_than_there_are(small):
    index, windows, _ = small
    assert len(WindowSearch(index).nearest(np.ones(8), 1000)) == len(set(windows.texts))


def test_like_a_document_finds_others(small):
    index, windows, _ = small
    search = WindowSearch(index)
    query, keys = search.like("doc-7")
    own = vectors_of(windows).mean[windows.document == 7].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(query, own / np.linalg.norm(own), rtol=1e-5)
    result = search.nearest(query, 30, without=keys)
    assert result and all(location.id != "doc-7" for example in result for location in example.locations)
    with pytest.raises(UsageError, match="doc-x"):
        search.like("doc-x")


def test_overlap_is_measured_on_residual_dimensions(small):
    index, _, _ = small
    overlap = WindowSearch(index).overlap()
    assert overlap.dimensions == 6 and 0 <= overlap.lowest <= overlap.share <= overlap.highest <= 1
    names = index.array("vector.window")
    shares = []
    for row, unit in enumerate(index.units()):
        if str(unit.point) == "resid.1":
            true = set(index.array("top.window")[row].tolist()) & set(names.tolist())
            order = np.argsort(-index.array("vector.peak")[:, unit.index].astype(np.float64), kind="stable")
            shares.append(len(true & set(names[order[: len(true)]].tolist())) / len(true))
    assert overlap.share == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    ("query", "message"),
    [(np.ones(3), "has 3 numbers, but .* have 8"), (np.zeros(8), "no direction"), (np.full(8, np.nan), "no direction")],
)
def test_queries_that_are_none(small, query, message):
    with pytest.raises(UsageError, match=message):
        WindowSearch(small[0]).nearest(query, 3)
    with pytest.raises(UsageError, match="no domain 'c'; it has books, web"):
        WindowSearch(small[0]).nearest(np.ones(8), 3, domain="c")


def test_direction_files(tmp_path):
    np.save(tmp_path / "one.npy", np.arange(3))
    np.save(tmp_path / "two.npy", np.arange(6).reshape(2, 3))
    np.save(tmp_path / "bad.npy", np.array([np.nan, 1.0]))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "two.npy").read_bytes()[:-4])
    np.save(tmp_path / "deep.npy", np.zeros((2, 2, 3)))
    np.save(tmp_path / "complex.npy", np.array([1 + 2j, 3]))
    assert read_direction(str(tmp_path / "one.npy")).tolist() == [0, 1, 2]
    assert read_direction(f"{tmp_path}/two.npy:1").tolist() == [3, 4, 5]
    assert load_vectors(tmp_path / "one.npy").shape == (1, 3)
    for name, message in (
        ("two.npy", "select one"),
        ("two.npy:2", "counted from 0"),
        ("bad.npy", "finite"),
        ("cut.npy", "cannot be read"),
        ("none.npy", "cannot be read"),
        ("deep.npy", r"float64 \[2, 2, 3\]; directions are real numbers"),
        ("complex.npy", r"complex128 \[2\]"),
        ("text.txt", r"\.npy or \.safetensors"),
    ):
        with pytest.raises(UsageError, match=message):
            read_direction(f"{tmp_path}/{name}")


def test_a_probe_with_a_bias_is_no_direction(tmp_path):
    """With as many classes as dimensions the bias was taken for one more direction."""
    save_file = pytest.importorskip("safetensors.numpy").save_file
    pytest.importorskip("torch")
    weight = np.eye(3, dtype=np.float32)
    save_file({"weight": weight, "bias": np.ones(3, np.float32)}, tmp_path / "probe.safetensors")
    with pytest.raises(UsageError, match=r"other dimensions: bias \[3\], weight \[3, 3\]"):
        load_vectors(tmp_path / "probe.safetensors")
    save_file({"weight": weight}, tmp_path / "probe.safetensors")
    assert np.array_equal(load_vectors(tmp_path / "probe.safetensors"), weight)


def test_the_command(small, tmp_path, capsys):
    index, _, _ = small
    np.save(tmp_path / "probe.npy", np.eye(8)[2])
    where = ["--index", str(index.folder), "--k", "3"]
    assert run_command(["search", "--direction", f"{tmp_path}/probe.npy", *where], Session()) == 0
    out = capsys.readouterr().out
    said = " ".join(out.split())
    assert "not top activations" in said and "Of 6 residual dimensions of block 1" in said and "doc-" in said
    assert all(len(line) <= 80 for line in out.splitlines() if str(tmp_path) not in line)
    assert run_command(["search", "--like", "doc-3", "--json", *where], Session()) == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["ranked_by"] == "cosine" and len(payload["examples"]) == 3
    assert run_command(["search", *where], Session()) == 2
    assert run_command(["search", "--like", "nobody", *where], Session()) == 2
