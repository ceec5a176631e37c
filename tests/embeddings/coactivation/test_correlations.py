"""Correlations of a unit with others: exact against numpy, intervals without correlation, the file, the command."""

import json

import numpy as np
import pytest

from corpus_audit.embeddings.coactivation.correlation_moments import GROUPS, CorrelationMoments
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session


def correlated(x, y, windows, length, document, least=30):
    """The result for x [N, L] and y [N, L, R] of windows of one length, added in two batches and two tiles."""
    counted = np.ones((windows, length), bool)
    counted[:, 0] = False
    lengths = np.bincount(document, minlength=document.max() + 1) * (length - 1)
    moments = CorrelationMoments(y.shape[-1], lengths)
    moments.add_unit(np.repeat(document, length), x.ravel(), counted.ravel())
    for batch in np.array_split(np.arange(windows), 2):
        for columns in np.array_split(np.arange(y.shape[-1]), 2):
            moments.add_others(document[batch], x[batch], counted[batch], columns, y[batch][..., columns])
    return moments.result(least), counted


def test_r_is_that_of_numpy_and_its_interval_that_of_the_jackknife():
    rng = np.random.default_rng(0)
    windows, length, units = 90, 20, 6
    document = np.arange(windows) % 45
    effect = rng.normal(size=(45, units + 1))
    y = (effect[document][:, None] + rng.normal(size=(windows, length, units + 1)) + 50).astype(np.float32)
    x = y[..., 0]
    y[..., 1:4] += 2 * x[..., None]
    y[..., -1] = 3
    result, counted = correlated(x, y, windows, length, document)
    flat = y[counted].astype(np.float64)
    expected = np.corrcoef(flat[:, :-1].T)[0]
    np.testing.assert_allclose(result.r[1:-1], expected[1:], rtol=0, atol=1e-9)
    assert result.r[0] == pytest.approx(1) and np.isnan(result.r[-1]) and np.isnan(result.p[-1])
    of_token = np.repeat(document, length).reshape(windows, length)[counted]
    z = np.arctanh(expected[2])
    left_out = [np.arctanh(np.corrcoef(flat[of_token != d][:, [0, 2]].T)[0, 1]) for d in range(45)]
    error = np.sqrt(((np.array(left_out) - z) ** 2).sum())
    from scipy.special import stdtrit

    reach = stdtrit(result.degrees[2], 0.975) * error
    assert result.low[2] == pytest.approx(np.tanh(z - reach)) and result.high[2] == pytest.approx(np.tanh(z + reach))
    assert 5 < result.degrees[2] <= 44 and result.p[2] < 1e-4
    few, _ = correlated(x, y, windows, length, document, least=46)
    np.testing.assert_array_equal(few.r, result.r)
    assert np.isnan(few.low).all() and np.isnan(few.p).all()


def units_of_documents(rng, documents, tokens, shape):
    """Activations [D, T, R] of a kind: dense, rare tokens, or active in some documents only."""
    size = (documents, tokens, 40)
    if shape == "dense":
        return 0.7 * rng.normal(size=(documents, 1, 40)) + rng.normal(size=size)
    if shape == "rare tokens":
        return rng.exponential(size=size) * (rng.random(size) < 0.02)
    active = (rng.random((documents, 1, 40)) < 0.1) * rng.exponential(size=(documents, 1, 40))
    return active * rng.exponential(size=size) * (rng.random(size) < 0.3)


@pytest.mark.parametrize("first", ["dense", "rare tokens", "rare documents"])
@pytest.mark.parametrize("second", ["dense", "rare tokens", "rare documents"])
def test_units_that_have_nothing_to_do_with_each_other(first, second):
    """Not seldom together by accident is what the jackknife alone takes rare units for."""
    rng = np.random.default_rng(3)
    document = np.arange(200)
    up, down = [], []
    for _ in range(8):
        x = units_of_documents(rng, 200, 30, first)[..., 0].astype(np.float32)
        y = units_of_documents(rng, 200, 30, second).astype(np.float32)
        result, _ = correlated(x, y, 200, 30, document)
        known = np.isfinite(result.p)
        up += ((result.p < 0.05) & (result.r > 0))[known].tolist()
        down += ((result.p < 0.05) & (result.r < 0))[known].tolist()
    assert len(up) > 100 and np.mean(up) < 0.05 and np.mean(down) < 0.05


def test_rare_units_that_fire_together_are_found():
    rng = np.random.default_rng(4)
    x = units_of_documents(rng, 600, 30, "rare documents")[..., :1].astype(np.float32)
    y = np.concatenate([x + 0.05 * rng.random(x.shape), rng.random(x.shape)], axis=2).astype(np.float32)
    result, _ = correlated(x[..., 0], y, 600, 30, np.arange(600))
    assert result.low[0] > 0.5 and result.p[0] < 0.001 and result.low[1] < 0 < result.high[1]


def test_documents_beyond_the_groups_share_them():
    assert CorrelationMoments(1, np.ones(1000, np.int64)).groups == GROUPS
    assert CorrelationMoments(1, np.ones(7, np.int64)).groups == 7


@pytest.mark.slow
@pytest.mark.parametrize("way", ["numpy", "torch"])
def test_the_index_against_numpy(encoder_indexes, way, monkeypatch):
    pytest.importorskip("torch")
    from corpus_audit.embeddings.coactivation.correlated_units import correlated_units
    from corpus_audit.embeddings.lookup import corpus_pass
    from corpus_audit.embeddings.lookup.compare_units import select_rows
    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.units import parse_unit

    index = encoder_indexes[1]
    units = list(index.units())
    # A direction is one that numpy does not compute.
    some = ["mlp.1:9", "mlp.1:4", "resid.2:3", "head.0:1"] if way == "numpy" else ["mlp.1:9", "mlp.1:40", "dir.probe:1"]
    values = corpus_pass.corpus_values(index, [parse_unit(unit) for unit in some], 10**6)
    matrix = np.corrcoef(values.values[values.windows.counted].astype(np.float64).T)
    expected = dict(zip(some, matrix[0], strict=True))
    rows = select_rows(index, None) if way == "torch" else np.flatnonzero([not unit.point.name for unit in units])
    own = index.row_of("mlp.1:9")
    result = correlated_units(index, "mlp.1:9", rows)
    assert not result.cached and result.of_corpus == 1 and result.documents == 30
    assert set(some[1:]) <= {str(each.unit) for each in result.units} and len(rows) > 80
    assert {each.unit for each in result.units} == {units[row] for row in rows.tolist() if row != own}
    for each in result.units:
        assert each.r == pytest.approx(expected.get(str(each.unit), each.r), abs=1e-5)
        assert each.low < each.r < each.high
    monkeypatch.setattr(corpus_pass, "open_numpy_model", None)  # nothing may be computed
    again = correlated_units(index, parse_unit("mlp.1:9"), rows)
    assert again.cached and again.units == result.units and again.provenance == result.provenance
    assert [each.least for each in again.units] == sorted((each.least for each in again.units), reverse=True)
    path = max((index.folder.parent / ".correlations").rglob("9-*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    path.write_bytes(path.read_bytes()[:-9])
    monkeypatch.undo()
    assert not correlated_units(index, "mlp.1:9", rows).cached
    with pytest.raises(UsageError, match="mlp"):
        correlated_units(index, "mlp.7:1", rows)


@pytest.mark.slow
def test_the_command(encoder_indexes, capsys):
    where = ["--with", "mlp.1:5", "--correlated", "--index", str(encoder_indexes[1].folder), "--k", "4"]
    assert run_command(["units", "mlp.1:*", *where, "--json"], Session()) == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["kind"] == "correlated" and payload["of"] == 47 and len(payload["units"]) == 4
    assert payload["provenance"]["unit"] == "mlp.1:5" and -1 <= payload["units"][0]["r"] <= 1
    assert run_command(["units", "mlp.1:*", *where], Session()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and any(payload["units"][0]["unit"] in line for line in lines)
    assert run_command(["units", "mlp.1:*", *where, "--windows", "5"], Session()) == 0
    assert "not enough data for intervals" in capsys.readouterr().out
    assert run_command(["units", "--dead", "--correlated", *where[3:]], Session()) == 2
