"""Many units at once: differences with closed forms and simulated coverage, order, and what is refused."""

import json

import numpy as np
import pytest
from scipy.special import stdtr, stdtrit

from corpus_audit.embeddings import open_index
from corpus_audit.embeddings.index.bins import HISTOGRAM_BINS, histogram_edges
from corpus_audit.embeddings.index.rates import LEAST_DOCUMENTS, QUANTILES, differences, quantile, rates
from corpus_audit.embeddings.lookup.compare_units import deviations, firing, movements, preferences, select_rows
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.pipelines.statistics.intervals.ratios import leave_one_out
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import UnitError
from tests.embeddings.made import MOMENT, write_small_index


def test_quantiles_are_those_of_student():
    assert all(abs(stdtrit(degrees, 0.975) - value) < 1e-6 for degrees, value in QUANTILES.items())
    between = np.linspace(1, 15, 300)
    wider = np.array([quantile(degrees) for degrees in between]) / stdtrit(between, 0.975)
    assert wider.min() > 1 - 1e-6 and wider.max() < 1.19 and wider[between > 2].max() < 1.02


def test_a_difference_by_hand():
    tokens = np.full(8, 10.0)
    first = np.array([[1, 1, 1, 1, 3, 3, 3, 3]], float).T
    second = first + np.array([[0, 2, 0, 2, 0, 2, 0, 2]], float).T
    result = differences((first, tokens), (second, tokens), (40, 40))
    # The ratio of the first is 16 / 80; of the second 24 / 80; their residuals differ by -1, 1, -1, ... over 80 tokens.
    assert result.value.tolist() == [pytest.approx(0.1)]
    # Without a group the ratio of 70 tokens moves by its residual over 70.
    deviation = np.sqrt(8 * (1 / 70) ** 2)
    assert result.t.tolist() == [pytest.approx(0.1 / deviation)] and result.degrees == pytest.approx(7)
    assert result.high[0] - result.low[0] == pytest.approx(2 * QUANTILES[7] * deviation)


def test_what_both_hold_cancels():
    rng = np.random.default_rng(0)
    tokens, sums = rng.uniform(50, 150, 16), rng.normal(size=(16, 5))
    result = differences((sums, tokens), (sums, tokens), (40, 40))
    assert not result.value.any() and not result.t.any() and (result.high == 0).all()


def test_without_groups_there_is_no_interval():
    tokens = np.array([5.0] * 4 + [0.0] * 12)
    result = differences((np.ones((16, 2)), tokens), (np.ones((16, 2)), tokens), (40, 40))
    assert np.isnan(result.t).all() and np.isnan(result.low).all() and result.degrees == 0
    empty = differences((np.zeros((16, 2)), np.zeros(16)), (np.ones((16, 2)), tokens), (0, 40))
    assert np.isnan(empty.value).all()


def test_with_too_few_documents_there_is_no_interval():
    sums, tokens = np.random.default_rng(1).normal(size=(16, 3)), np.full(16, 10.0)
    enough = differences((sums, tokens), (sums[::-1], tokens), (300, LEAST_DOCUMENTS))
    few = differences((sums, tokens), (sums[::-1], tokens), (300, LEAST_DOCUMENTS - 1))
    assert np.isfinite(enough.t).all() and np.isnan(few.t).all()
    np.testing.assert_array_equal(few.value, enough.value)


@pytest.mark.parametrize("longest", [0.0, 0.5])
def test_nulls_are_rejected_no_more_often_than_said(longest):
    """A domain of 30 documents that are like all others, and one where one document has half of the tokens."""
    rng = np.random.default_rng(11)
    units, rejected, found, draws = 500, 0.0, 0, 40
    for _ in range(draws):
        sides = []
        for documents, share in ((300, 0.0), (30, longest)):
            tokens = rng.lognormal(5, 1, documents)
            tokens[0] = share / (1 - share) * tokens[1:].sum() if share else tokens[0]
            value = rng.normal(size=(documents, units)) * tokens[:, None]
            sums, group = np.zeros((16, units)), rng.integers(0, 16, documents)
            np.add.at(sums, group, value)
            sides.append((sums, np.bincount(group, tokens, 16)))
        result = differences(*sides, (300, 30))
        p = 2 * stdtr(result.degrees, -np.abs(result.t))
        rejected += (p < 0.05).mean() / draws
        found += bool((benjamini_hochberg(p) <= 0.05).any())
    assert rejected < 0.055 and found <= 4


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_intervals_cover_differences_of_bursty_documents(shared):
    """Documents with means of their own, of which the two sides share a part; each is dealt into one group."""
    rng = np.random.default_rng(7)
    units, size = 400, 800

    def sums(documents):
        tokens = np.array([group_tokens[documents & (group == g)].sum() for g in range(16)])
        total = np.stack([(value[documents & (group == g)]).sum(axis=0) for g in range(16)])
        return total, tokens

    group = rng.integers(0, 16, size)
    group_tokens = rng.integers(20, 200, size).astype(float)
    value = rng.normal(size=(size, units)) * group_tokens[:, None]
    side = rng.random(size)
    common = rng.random(size) < shared
    first, second = (side < 0.5) | common, (side >= 0.5) | common
    result = differences(sums(first), sums(second), (int(first.sum()), int(second.sum())))
    assert 0.92 < np.mean((result.low <= 0) & (result.high >= 0)) < 0.995
    parts = [rates(*sums(held)) for held in (first, second)]
    naive = np.sqrt(sum(((part.high - part.low) / 2) ** 2 for part in parts))
    ratio = np.median((result.high - result.low) / 2 / naive)
    assert (ratio < 0.8) if shared else (0.8 < ratio < 1.25)


@pytest.mark.parametrize(
    "shared, first, second",
    [(0, 300, 30), (0, 300, 100), (0, 60, 300), (300, 0, 30), (270, 30, 0), (270, 30, 30)],
    ids=["small", "smaller", "larger", "added", "removed", "replaced"],
)
def test_units_of_few_documents_do_not_differ_by_accident(shared, first, second):
    """Documents in which two sides differ may hold none of the few in which a unit is active: that says little."""
    rng = np.random.default_rng(5)
    units, judged, alone = 400, [], []
    count = shared + first + second
    for _ in range(10):
        tokens, group = rng.lognormal(5, 1, count), rng.integers(0, 16, count)
        value = rng.exponential(size=(count, units)) * (rng.random((count, units)) < 0.1) * tokens[:, None]
        number, sides = np.arange(count), []
        for member in (number < shared + first, (number < shared) | (number >= shared + first)):
            sums = np.zeros((16, units))
            np.add.at(sums, group[member], value[member])
            sides.append((sums, np.bincount(group[member], tokens[member], 16)))
        result = differences(*sides, (shared + first, shared + second), disjoint=not shared)
        p = 2 * stdtr(result.degrees, -np.abs(result.t))
        judged.append([((p < 0.05) & (sign * result.t > 0)).mean() for sign in (1, -1)])
        errors = [leave_one_out(*side, side[0].sum(axis=0) / side[1].sum()) for side in sides]
        t = result.value / np.sqrt(((errors[1] - errors[0]) ** 2).sum(axis=0))
        alone.append((2 * stdtr(result.degrees, -np.abs(t)) < 0.05).mean())
    assert np.mean(judged, axis=0).max() < 0.025
    # What the documents that differ hold themselves would report too much, but where as many come as go.
    assert np.mean(alone) > 0.025 or first == second


def test_a_unit_that_is_active_in_many_documents_or_in_none_differs():
    quiet = np.zeros((16, 1)), np.full(16, 100.0)
    active = np.random.default_rng(5).uniform(40, 60, (16, 1)), np.full(16, 300.0)
    assert differences(active, quiet, (300, 100), disjoint=True).high[0] < 0
    assert differences(quiet, active, (100, 300), disjoint=True).low[0] > 0
    grown = active[0] + np.random.default_rng(6).uniform(40, 60, (16, 1)), np.full(16, 400.0)
    assert differences(active, grown, (300, 400)).low[0] > 0 and differences(grown, active, (400, 300)).high[0] < 0


def test_deviation_of_a_histogram():
    edges = histogram_edges()
    histogram = np.zeros((2, HISTOGRAM_BINS), np.int64)
    low, high = np.searchsorted(edges, [-2.5, 2.5])
    histogram[0, [low, high]] = 50
    histogram[1, high] = 9
    middle = (edges[high] + edges[high - 1]) / 2
    assert deviations(histogram).tolist() == [pytest.approx(middle), 0.0]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    output = tmp_path_factory.mktemp("index") / "out"
    before, *_ = write_small_index(output, documents=400)
    after, *_ = write_small_index(output, 400, moment=MOMENT.replace(hour=13), seed=6, snapshot="ee" * 32)
    return open_index(before), open_index(after)


def planted(index, monkeypatch, row, domain):
    """The index, with a unit's activation raised in one domain."""
    total, tokens = np.array(index.array("total")), index.array("tokens")
    total[domain, :, row] += 3 * tokens[domain]
    arrays = {"total": total}
    real = index.array
    monkeypatch.setattr(index, "array", lambda name: arrays[name] if name in arrays else real(name))


def test_a_planted_preference_comes_first(pair, monkeypatch):
    index = pair[0]
    planted(index, monkeypatch, 4, index.domains.index("web"))
    result = preferences(index, "web", select_rows(index, None))
    assert int(result.certain.argmax()) == 4 and result.q[4] < 1e-6
    assert result.difference.low[4] > 2 and result.second[4] - result.first[4] == pytest.approx(
        result.difference.value[4]
    )
    # What a domain prefers, the other lacks.
    other = preferences(index, "books", select_rows(index, None))
    np.testing.assert_allclose(other.difference.value, -result.difference.value, rtol=1e-9)
    assert int(other.certain.argmin()) == 4 and other.certain[4] < -0.5


def test_a_planted_move_is_found_and_nothing_else(pair, monkeypatch):
    before, after = pair
    quiet = movements(before, after, select_rows(after, None))
    assert (quiet.certain != 0).sum() <= 1
    planted(after, monkeypatch, 9, 0)
    moved = movements(before, after, select_rows(after, None))
    assert np.abs(moved.certain).argmax() == 9 and moved.certain[9] > 0
    within = movements(before, after, select_rows(after, "resid.1:*"), after.domains[0])
    assert within.rows[np.abs(within.certain).argmax()] == 9


def test_units_that_are_asked_for(pair):
    index = pair[0]
    assert select_rows(index, "resid.1:2-4").tolist() == [8, 9, 10]
    with pytest.raises(UnitError, match=r"mlp\.0"):
        select_rows(index, "mlp.5:*")
    share, tokens = firing(index, select_rows(index, None))
    assert tokens == index.facts.counts["tokens"] and ((share > 0.1) & (share < 0.9)).all()


def test_comparisons_that_make_no_sense(pair, tmp_path, monkeypatch):
    before, after = pair
    rows = select_rows(after, None)
    with pytest.raises(UsageError, match="no domain 'c'"):
        preferences(after, "c", rows)
    for name in ("digest", "tokenizer"):
        with monkeypatch.context() as patch:
            patch.setitem(before.facts.model, name, "ff" * 32)
            with pytest.raises(UsageError, match=r"differ in the (model|tokenizer)"):
                movements(before, after, rows)


def test_the_command(pair, capsys):
    before, after = pair
    where = ["--index", str(after.folder)]
    assert run_command(["units", "--moved-from", str(before.folder), *where], Session()) == 0
    assert "of 12 units moved" in capsys.readouterr().out
    assert run_command(["units", "mlp.0:*", "--prefer", "web", "--json", *where], Session()) == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["of"] == 6 and payload["sides"] == ["elsewhere", "web"]
    assert run_command(["units", "--dead", *where], Session()) == 0
    assert "0 of 12 units are dead" in capsys.readouterr().out
    assert run_command(["units", "--dense", "--json", *where], Session()) == 0
    assert json.loads(capsys.readouterr().out)["count"] >= 1
    for wrong in ([], ["--dead", "--dense"], ["--dead", "--within", "web"]):
        assert run_command(["units", *wrong, *where], Session()) == 2


def test_an_index_is_found_by_its_snapshot(pair):
    output = pair[0].folder.parent
    assert open_index(output).folder == pair[1].folder
    assert open_index(output, "cdcd").folder == pair[0].folder
    assert open_index(output, pair[1].folder.name).folder == pair[1].folder
    with pytest.raises(UsageError, match=r"no index of a snapshot 'aa'; it has eeeeeeeeeeee .*, cdcdcdcdcdcd"):
        open_index(output, "aa")


def test_two_checkpoints_are_compared_where_that_is_asked_for(tmp_path):
    first, *_ = write_small_index(tmp_path / "a", 60)
    second, *_ = write_small_index(tmp_path / "b", 60)
    text = (second / "index.json").read_text()
    assert text.count("01" * 32) == 1
    (second / "index.json").write_text(text.replace("01" * 32, "02" * 32))
    before, after = open_index(first), open_index(second)
    rows = select_rows(after, None)
    with pytest.raises(UsageError, match="differ in the model"):
        movements(before, after, rows)
    result = movements(before, after, rows, checkpoints=True)
    np.testing.assert_array_equal(result.difference.value, 0.0)  # the second has the same sums
    (second / "index.json").write_text(text.replace('"tokenizer": "abab', '"tokenizer": "cdab'))
    with pytest.raises(UsageError, match="differ in the tokenizer"):
        movements(before, open_index(second), rows, checkpoints=True)
