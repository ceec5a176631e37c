import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from corpus_audit.pipelines.statistics.drift.token_drift import (
    FALLER,
    NEW,
    OTHER,
    RISER,
    VANISHED,
    token_drift,
)
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS
from corpus_audit.pipelines.statistics.drift.token_spread import BORROWED, unshared_scatter
from tests.pipelines.statistics.contrasts import bursty, contrast


def test_documents_of_one_token_give_the_two_proportion_test():
    # One token a document: the spread is 1 - p, and z is the pooled two-proportion z with D / (D - 1).
    before, now = np.eye(2, dtype=int)[[0] * 40 + [1] * 60], np.eye(2, dtype=int)[[0] * 90 + [1] * 110]
    found = token_drift(contrast(before, now), interval_null=0)
    pooled = 130 / 300
    error = np.sqrt(pooled * (1 - pooled) * 300 / 299 * (1 / 100 + 1 / 200))
    assert found.z == pytest.approx([0.05 / error, -0.05 / error])
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.z)))
    assert found.design_effect == pytest.approx([300 / 299, 300 / 299])
    assert found.log2_ratio[0] == pytest.approx(np.log2(90.5 / 200.5 / (40.5 / 100.5)))
    assert found.tested == 2
    assert found.share_baseline.tolist() == [0.4, 0.6]


def test_monroe_log_odds_of_independent_tokens():
    before, now = np.eye(2, dtype=int)[[0] * 40 + [1] * 60], np.eye(2, dtype=int)[[0] * 90 + [1] * 110]
    found = token_drift(contrast(before, now))
    a = 2 / 2 * 130 / 300
    delta = np.log((90 + a) / (200 + 1 - 90 - a)) - np.log((40 + a) / (100 + 1 - 40 - a))
    expected = delta / np.sqrt(1 / (90 + a) + 1 / (40 + a)) / np.sqrt(300 / 299)
    assert found.log_odds_z[0] == pytest.approx(expected)


def scatter_of_documents(before, now, shared):
    """`unshared_scatter` document by document."""
    y = [np.asarray(part, float) for part in (before, now, shared)]
    t = [part.sum() for part in y]
    t1, t2, f = t[0] + t[2], t[1] + t[2], t[0] / (t[0] + t[1])
    p = sum(part.sum(axis=0) for part in y) / sum(t)
    e = [((part - np.outer(part.sum(axis=1), p)) ** 2).sum(axis=0) for part in y]
    given_them = (e[0] + e[1]) * (f / t1**2 + (1 - f) / t2**2) + e[2] * (1 / t1 - 1 / t2) ** 2
    pooled = sum(e) / sum(t) * (1 / t1 + 1 / t2 - 2 * t[2] / (t1 * t2))
    held = (y[0] > 0).sum(axis=0) + (y[1] > 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(pooled > 0, 1 + 4 * f * (1 - f) * held / (held + BORROWED) * (given_them / pooled - 1), 1)


def test_the_scatter_of_unshared_documents():
    rng = np.random.default_rng(4)
    before, now, shared = (bursty(rng, size) for size in (30, 50, 90))
    found = unshared_scatter(contrast(before, now, shared))
    assert found == pytest.approx(scatter_of_documents(before, now, shared), rel=1e-9)
    assert 0.1 < found.min() < 0.9 < 1.1 < found.max()
    assert (unshared_scatter(contrast(before, now)) == 1).all()  # nothing is shared: given is pooled
    # Append-only: no document can change sides.
    assert unshared_scatter(contrast(before[:0], now, shared)) == pytest.approx(np.ones(200))


def test_spread_is_that_of_the_documents_themselves():
    rng = np.random.default_rng(0)
    before, now, shared = (bursty(rng, size) for size in (80, 50, 90))
    found = token_drift(contrast(before, now, shared))
    y = np.concatenate([before, now, shared]).astype(float)
    n = y.sum(axis=1)
    p = y.sum(axis=0) / n.sum()
    with np.errstate(invalid="ignore"):
        variance = 220 / 219 * ((y - np.outer(n, p)) ** 2).sum(axis=0) / n.sum() ** 2
        expected = variance / (p * (1 - p) / n.sum())
    assert found.design_effect == pytest.approx(expected, rel=1e-9, nan_ok=True)
    t = [before.sum(), now.sum(), shared.sum()]
    unshared = 1 / (t[0] + t[2]) + 1 / (t[1] + t[2]) - 2 * t[2] / (t[0] + t[2]) / (t[1] + t[2])
    gap = (now.sum(axis=0) + shared.sum(axis=0)) / (t[1] + t[2])
    gap = gap - (before.sum(axis=0) + shared.sum(axis=0)) / (t[0] + t[2])
    tested = (y > 0).sum(axis=0) >= 20
    both = (before.sum(axis=0) + now.sum(axis=0) + 2 * shared.sum(axis=0)) / (t[0] + t[1] + 2 * t[2])
    scatter = scatter_of_documents(before, now, shared)
    with np.errstate(invalid="ignore"):
        z = gap / np.sqrt(variance * n.sum() / p * both * unshared * scatter)
    assert found.z[tested] == pytest.approx(z[tested], rel=1e-9)
    assert np.isnan(found.z[~tested]).all()
    assert found.tested == tested.sum()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.5]), st.booleans())
def test_bounds_are_where_the_test_rejects(seed, delta, clustered):
    rng = np.random.default_rng(seed)
    parts = [bursty(rng, 60, 30), bursty(rng, 40, 30, np.linspace(0.3, 3, 30)), bursty(rng, 50, 30)]
    found = token_drift(contrast(*parts, clustered=clustered), interval_null=delta)
    some = ~np.isnan(found.p)
    assert (found.low <= found.log2_ratio)[~np.isnan(found.low)].all()
    assert (found.high >= found.log2_ratio)[~np.isnan(found.high)].all()
    if delta == 0:
        without = np.where(np.isnan(found.low), -np.inf, found.low) > 0
        without |= np.where(np.isnan(found.high), np.inf, found.high) < 0
        assert (without[some] == (found.p[some] < 0.05)).all()
        assert found.p[some] == pytest.approx(2 * special.ndtr(-abs(found.z[some])))
    assert ((found.p[some] >= 0) & (found.p[some] <= 1)).all()
    assert (found.q[some] >= found.p[some]).all()


def test_an_interval_null_asks_for_more_than_a_difference():
    rng = np.random.default_rng(3)
    before, now = bursty(rng, 3000, 50), bursty(rng, 3000, 50, np.where(np.arange(50) == 20, 1.08, 1))
    sharp, wide = (token_drift(contrast(before, now), delta) for delta in (0.0, 0.3))
    assert sharp.p[20] < 0.01
    assert wide.p[20] > 0.9
    assert (wide.p >= sharp.p).all()


def test_order_of_the_sides_only_turns_signs():
    rng = np.random.default_rng(4)
    before, now, shared = bursty(rng, 90), bursty(rng, 60), bursty(rng, 70)
    one, other = token_drift(contrast(before, now, shared)), token_drift(contrast(now, before, shared))
    for name in ("z", "log_odds_z", "log2_ratio"):
        assert getattr(one, name) == pytest.approx(-getattr(other, name), abs=1e-9, nan_ok=True)
    assert one.p == pytest.approx(other.p, nan_ok=True)
    assert one.low == pytest.approx(-other.high, abs=1e-6, nan_ok=True)


def test_kinds_of_planted_changes():
    rng = np.random.default_rng(5)
    tilt = np.ones(100)
    tilt[[3, 4]] = 2.5, 0.4
    before, now = bursty(rng, 1500, 100), bursty(rng, 1500, 100, tilt)
    before[:, 7] = 0
    now[:, 8] = 0
    found = token_drift(contrast(before, now))
    assert found.kind[[3, 4, 7, 8]].tolist() == [RISER, FALLER, NEW, VANISHED]
    assert (found.kind[20:] == OTHER).mean() > 0.97
    assert found.low[7] > 3 and np.isnan(found.high[7])
    assert found.high[8] < -3 and np.isnan(found.low[8])
    assert (found.q[[3, 4, 7, 8]] < 1e-6).all()


def test_identical_snapshots_do_not_drift():
    rng = np.random.default_rng(6)
    shared = bursty(rng, 200)
    nothing = np.zeros((0, 200), dtype=int)
    found = token_drift(contrast(nothing, nothing, shared))
    tested = ~np.isnan(found.z)
    assert tested.any()
    for name, value in (("z", 0), ("log_odds_z", 0), ("p", 1), ("low", 0), ("high", 0), ("log2_ratio", 0)):
        assert (getattr(found, name)[tested] == value).all()


def test_a_side_without_documents_is_not_tested():
    rng = np.random.default_rng(7)
    found = token_drift(contrast(bursty(rng, 60), np.zeros((0, 200), dtype=int)))
    assert found.tested == 0
    for name in ("log2_ratio", "z", "p", "q", "low", "share_current"):
        assert np.isnan(getattr(found, name)).all()


def test_burstiness_and_dispersion():
    before = np.zeros((64, 3), dtype=int)
    before[:, 0] = 4  # even
    before[5, 1] = 64  # one document only
    before[:, 2] = 2
    before[5, 2] = 0
    found = token_drift(contrast(before, before))
    assert found.burstiness_baseline == pytest.approx([4, 64, 2])
    sizes = before.sum(axis=1) / before.sum()
    expected = [
        np.abs(before[:, k] / before[:, k].sum() - sizes).sum() / 2 / (1 - sizes.min()) for k in range(before.shape[1])
    ]
    assert found.dispersion_current == pytest.approx(expected)
    assert found.dispersion_baseline[1] > 0.8


def test_clusters_widen_what_documents_understate():
    # Ten documents a host, all alike: groups of whole hosts see it, sums over documents do not.
    rng = np.random.default_rng(8)
    hosts = bursty(rng, 600, 40)
    copies, group = np.repeat(hosts, 10, axis=0), np.repeat(rng.integers(GROUPS, size=600), 10)
    before, now = copies[:3000], copies[3000:]
    groups = group[:3000], group[3000:], np.zeros(0, dtype=int)
    by_document = token_drift(contrast(before, now, groups=groups), 0)
    by_group = token_drift(contrast(before, now, clustered=True, groups=groups), 0)
    ratio = by_group.design_effect / by_document.design_effect
    assert np.median(ratio) == pytest.approx(10, rel=0.35)
    assert (by_document.p < 0.05).mean() > 0.3
    assert (by_group.p < 0.05).mean() < 0.15


@pytest.mark.parametrize("sizes", [(150, 150, 0), (75, 225, 0), (100, 100, 100), (40, 40, 360), (0, 40, 300)])
def test_rejects_5_percent_of_bursty_nulls(sizes):
    rng = np.random.default_rng(sum(sizes))
    z, log_odds, low, high = [], [], [], []
    for _ in range(12):
        found = token_drift(contrast(*(bursty(rng, size) for size in sizes)), 0)
        tested = ~np.isnan(found.z)
        z.append(found.z[tested])
        log_odds.append(found.log_odds_z[tested])
        low.append(found.low[tested] > 0)
        high.append(found.high[tested] < 0)
    rejected = (np.abs(np.concatenate(z)) > 1.96).mean()
    assert 0.03 <= rejected <= 0.07
    assert (np.abs(np.concatenate(log_odds)) > 1.96).mean() <= 0.065
    assert np.concatenate(low).mean() + np.concatenate(high).mean() == pytest.approx(rejected, abs=1e-3)


def test_a_negative_interval_null_is_refused():
    with pytest.raises(ValueError, match="below 0"):
        token_drift(contrast(np.eye(2, dtype=int), np.eye(2, dtype=int)), -1)
