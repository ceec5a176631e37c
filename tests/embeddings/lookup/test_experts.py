"""Load of experts: closed forms, simulated coverage, what is not said, and the command."""

import json

import numpy as np
import pytest

from corpus_audit.embeddings import open_index
from corpus_audit.embeddings.index.rates import dead_bound
from corpus_audit.embeddings.lookup.compare_units import select_rows
from corpus_audit.embeddings.lookup.experts import experts_per_token, layer_load, layer_loads
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Point
from tests.embeddings.made import replace_array, write_small_index

LAYER = Point(Kind.EXPERT, 2)


def loads(routed, tokens, chosen, documents=100):
    routed = np.asarray(routed)
    return layer_load(LAYER, np.arange(routed.shape[1]), routed, np.asarray(tokens), documents, chosen)


def test_a_layer_by_hand():
    result = loads([[6, 10, 4, 0]] * 8, [10] * 8, 2)
    assert result.load.value.tolist() == [0.6, 1.0, 0.4, 0.0] and result.over_mean.tolist() == [1.2, 2.0, 0.8, 0.0]
    assert result.largest.value == pytest.approx(2.0)
    assert result.variation.value == pytest.approx(np.std([6, 10, 4, 0]) / 5)
    assert result.variation.low == pytest.approx(result.variation.high) == result.variation.value  # all groups alike
    assert [str(u) for u, dead in zip(result.units, result.dead, strict=True) if dead] == ["expert.2:3"]
    assert result.load.high[3] == result.dead_below == pytest.approx(1 - 0.05 ** (1 / 100))


def test_balanced_and_collapsed_routers():
    even = loads([[5, 5, 5, 5]] * 16, [10] * 16, 2)
    assert even.variation.value == 0 and even.largest.value == 1 and even.largest.low == 1
    one = loads([[10, 0, 0, 0]] * 16, [10] * 16, 1)
    assert one.largest.value == one.largest.high == 4 and one.variation.value == pytest.approx(np.sqrt(3))
    assert one.dead.tolist() == [False, True, True, True]


def test_nothing_is_said_without_tokens_documents_or_experts():
    empty = loads(np.zeros((16, 4), int), np.zeros(16, int), 2, documents=0)
    assert not empty.dead.any() and np.isnan(empty.largest.value) and np.isnan(empty.load.value).all()
    assert empty.dead_below == 1 and np.isnan(empty.load.high).all()
    few = loads([[5, 5]] * 4 + [[0, 0]] * 12, [10] * 4 + [0] * 12, 1)
    assert few.largest.value == 1 and np.isnan(few.largest.low) and np.isnan(few.variation.low)
    part = loads([[5, 3]] * 16, [10] * 16, None)
    assert np.isnan(part.largest.value) and np.isnan(part.over_mean).all() and part.load.value[0] == 0.5


def test_whether_all_experts_are_there():
    assert experts_per_token(np.arange(4), np.array([7, 3, 6, 4]), 10) == 2
    assert experts_per_token(np.arange(3), np.array([7, 3, 6]), 10) is None
    assert experts_per_token(np.array([0, 1, 3]), np.array([7, 3, 10]), 10) is None
    assert experts_per_token(np.arange(2), np.array([0, 0]), 10) is None


def test_intervals_cover_what_is_so_of_bursty_documents():
    """Documents with mixes of experts of their own: the truth is the mix of a very large corpus."""
    rng = np.random.default_rng(4)
    share = np.array([0.32, 0.2, 0.16, 0.14, 0.12, 0.06])
    truth = share.max() * 6, share.std() / share.mean()
    hits, runs, documents = np.zeros(2), 300, 320
    for _ in range(runs):
        tokens = rng.integers(20, 200, documents)
        mix = rng.dirichlet(share * 8, documents)
        sent = np.stack([rng.multinomial(t, m) for t, m in zip(tokens, mix, strict=True)])
        group = rng.integers(0, 16, documents)
        routed = np.zeros((16, 6), int)
        np.add.at(routed, group, sent)
        result = loads(routed, np.bincount(group, tokens, 16).astype(int), 1, documents)
        for n, one in enumerate((result.largest, result.variation)):
            hits[n] += one.low <= truth[n] <= one.high
    assert hits[0] / runs > 0.95 and 0.9 < hits[1] / runs < 0.99


def test_an_expert_that_no_document_uses_is_below_the_bound():
    # With a load of exactly the bound, one corpus in twenty has no document that uses it.
    assert (1 - dead_bound(40)) ** 40 == pytest.approx(0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two layers of six experts, two of them for every token; expert 5 of layer 3 takes none in the domain books."""
    made, *_ = write_small_index(tmp_path_factory.mktemp("index") / "out", 400, points=("expert.0", "expert.3"))
    tokens = np.load(made / "arrays/tokens.npy")
    mixes = np.array([[6, 2, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2]]) / 12
    routed = np.zeros((*tokens.shape, 12), np.int64)
    for at in np.ndindex(tokens.shape):
        for layer, mix in enumerate(mixes):
            mine = np.array([0.24, 0.2, 0.2, 0.2, 0.16, 0]) if layer == 1 and at[0] == 0 else mix
            sent = np.floor(mine * 2 * tokens[at]).astype(int)
            sent[1] += 2 * tokens[at] - sent.sum()
            routed[at][6 * layer : 6 * layer + 6] = sent
    replace_array(made, "fired", routed)
    replace_array(made, "documents", np.array([200, 200]))
    return made


def test_layers_of_an_index(folder):
    index = open_index(folder)
    first, second = layer_loads(index, select_rows(index, None))
    assert first.chosen == second.chosen == 2 and first.tokens == index.facts.counts["tokens"]
    assert first.largest.value == pytest.approx(3.0, rel=0.02) and second.largest.value < 1.3
    assert first.variation.value > 0.8 > 0.3 > second.variation.value and not second.dead.any()
    books = layer_loads(index, select_rows(index, "expert.3:*"), "books")
    assert len(books) == 1 and books[0].dead.tolist() == [False] * 5 + [True] and books[0].documents == 200
    assert not layer_loads(index, select_rows(index, "expert.3:*"), "web")[0].dead.any()
    some = layer_loads(index, select_rows(index, "expert.3:0-4"))[0]
    assert some.chosen is None and len(some.load.value) == 5
    with pytest.raises(UsageError, match="no domain 'c'"):
        layer_loads(index, select_rows(index, None), "c")


def test_the_command(folder, capsys):
    where = ["--index", str(folder)]
    assert run_command(["units", "--experts", "--k", "5", *where], Session()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and lines[0].startswith("12 experts in 2 layers")
    assert any(line.startswith("books         expert.0") and line.endswith(" 1") for line in lines)
    assert any(line.startswith("expert.0:0 ") and line.endswith(" 3.00") for line in lines), lines
    assert run_command(["units", "expert.3:*", "--experts", "--domain", "books", *where], Session()) == 0
    assert "Dead (no token; each has a load below 0.015, at 95 %): expert.3:5" in capsys.readouterr().out
    assert run_command(["units", "--experts", "--json", *where], Session()) == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["kind"] == "experts" and payload["count"] == 12 and payload["layers"][0]["chosen"] == 2
    assert payload["domains"][0]["layers"][1]["dead"] == ["expert.3:5"]
    assert payload["experts"][0]["unit"] == "expert.0:0" and len(payload["experts"][0]["interval"]) == 2
    for wrong in (["--experts", "--dead"], ["--dead", "--domain", "web"], ["--experts", "--domain", "c"]):
        assert run_command(["units", *wrong, *where], Session()) == 2


def test_dead_units_are_below_the_same_bound(tmp_path, capsys):
    made, *_ = write_small_index(tmp_path / "out")
    fired = open_index(made).array("fired")
    fired[:, :, 4] = 0
    replace_array(made, "fired", fired)
    replace_array(made, "documents", np.array([30, 30]))
    assert run_command(["units", "--dead", "--index", str(made)], Session()) == 0
    out = capsys.readouterr().out
    assert "1 of 12 units is dead" in out and "less than 4.87% of tokens" in out and out.endswith("mlp.0:4\n")


def test_an_index_without_experts(tmp_path, capsys):
    plain, *_ = write_small_index(tmp_path / "out")
    assert run_command(["units", "--experts", "--index", str(plain)], Session()) == 2
    assert "expert.*:*" in capsys.readouterr().err
