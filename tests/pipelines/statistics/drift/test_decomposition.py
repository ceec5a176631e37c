import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from corpus_audit.pipelines.statistics.drift.decomposition import decompose
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS
from tests.pipelines.statistics.contrasts import bursty, contrast


def split(domains, top=10, clustered=False, groups=None):
    """Decompose domains given as (before, now, shared) count matrices."""
    before = sum(b.sum(axis=0) + s.sum(axis=0) for b, _, s in domains)
    now = sum(c.sum(axis=0) + s.sum(axis=0) for _, c, s in domains)
    groups = groups or [(None, None, None)] * len(domains)
    contrasts = (contrast(*d, clustered=clustered, groups=g) for d, g in zip(domains, groups, strict=True))
    return decompose(before, now, contrasts, top)


def corpus(rng, documents, domains=5, tokens=300):
    tilts = np.random.default_rng(0).gamma(1, 1, (domains, tokens))
    return [bursty(rng, documents, tokens, tilt) for tilt in tilts]


NONE = np.zeros((0, 300), dtype=int)
COUNTS = arrays.arrays(np.int64, (2, 3, 6), elements=st.integers(0, 50))


@given(COUNTS.filter(lambda counts: counts.sum(axis=(1, 2)).min() > 0))
def test_parts_add_up_and_follow_the_formula(counts):
    none = np.zeros((0, 6), dtype=int)
    found = split([(counts[0, g : g + 1], counts[1, g : g + 1], none) for g in range(3)])
    total = counts.sum(axis=(1, 2), keepdims=True)
    expected = counts[1].sum(axis=0) / total[1, 0, 0] - counts[0].sum(axis=0) / total[0, 0, 0]
    assert found.total == pytest.approx(expected, abs=1e-15)
    assert found.mixture + found.content == pytest.approx(found.total, abs=1e-14)
    sizes = counts.sum(axis=2)
    if (sizes > 0).all():
        pi = sizes / total[:, :, 0]
        within = counts / sizes[:, :, None]
        assert found.mixture == pytest.approx(((pi[1] - pi[0])[:, None] * within.mean(axis=0)).sum(axis=0), abs=1e-14)
        assert found.content == pytest.approx(
            (pi.mean(axis=0)[:, None] * (within[1] - within[0])).sum(axis=0), abs=1e-14
        )
    if found.overall.total.tvd > 0:
        assert found.overall.total.attribution == pytest.approx(1)
        assert found.overall.mixture.attribution + found.overall.content.attribution == pytest.approx(1)
        assert sum(d.mixture.attribution for d in found.domains) == pytest.approx(
            found.overall.mixture.attribution, abs=1e-9
        )
        assert sum(d.content.attribution for d in found.domains) == pytest.approx(
            found.overall.content.attribution, abs=1e-9
        )


def test_reweighted_domains_are_mixture_alone():
    parts = corpus(np.random.default_rng(1), 40)
    found = split([(y, np.concatenate([y] * (1 + (g == 2))), NONE) for g, y in enumerate(parts)])
    assert found.overall.mixture.attribution == pytest.approx(1, abs=1e-12)
    assert found.overall.content.tvd == pytest.approx(0, abs=1e-15)
    assert max(range(5), key=lambda g: found.domains[g].mixture.attribution) == 2


def test_text_changed_inside_a_domain_is_content_alone():
    parts = corpus(np.random.default_rng(2), 40)
    changed = parts[3].copy()
    changed[:, 4] += changed[:, 5]  # documents keep their lengths
    changed[:, 5] = 0
    found = split([(y, changed if g == 3 else y, NONE) for g, y in enumerate(parts)], top=2)
    assert found.overall.content.attribution == pytest.approx(1, abs=1e-12)
    assert found.overall.mixture.tvd == pytest.approx(0, abs=1e-15)
    assert found.domains[3].content.attribution == pytest.approx(1, abs=1e-12)
    assert set(found.overall.content.top_tokens.tolist()) == {4, 5}
    assert found.overall.content.top_changes.sum() == pytest.approx(0, abs=1e-15)


def test_one_domain_up_by_a_fifth_is_attributed_to_the_mix():
    # A sixth of the other domains' documents is gone: what is kept is a sample, so some content changes by chance.
    parts = corpus(np.random.default_rng(3), 6000, domains=4, tokens=100)
    none = np.zeros((0, 100), dtype=int)
    domains = []
    for g, y in enumerate(parts):
        gone = np.arange(len(y)) % 6 == 0 if g else np.zeros(len(y), dtype=bool)
        domains.append((y[gone], none, y[~gone]))
    found = split(domains)
    assert found.overall.mixture.attribution >= 0.95
    assert found.overall.mixture.excess > 10 * max(found.overall.content.excess, 0.0)


def test_a_domain_that_comes_is_mixture():
    parts = corpus(np.random.default_rng(4), 30)
    found = split([(NONE if g == 1 else y, y, NONE) for g, y in enumerate(parts)])
    assert found.overall.content.tvd == pytest.approx(0, abs=1e-15)
    assert found.domains[1].mixture.attribution > 0.9
    assert found.domains[1].content.null_mean == 0


@pytest.mark.parametrize("sizes", [(60, 60, 0), (30, 90, 0), (40, 40, 40), (12, 12, 96), (0, 15, 100)])
def test_what_chance_gives_is_the_null_mean(sizes):
    rng = np.random.default_rng(sum(sizes))
    tilts = np.random.default_rng(0).gamma(1, 1, (4, 300))
    sums = np.zeros(6)
    for _ in range(12):
        found = split([tuple(bursty(rng, rng.poisson(size), 300, tilt) for size in sizes) for tilt in tilts])
        sums += [
            found.overall.content.tvd,
            found.overall.content.null_mean,
            sum(d.content.tvd for d in found.domains),
            sum(d.content.null_mean for d in found.domains),
            found.overall.mixture.tvd,
            found.overall.mixture.null_mean,
        ]
    assert sums[1] == pytest.approx(sums[0], rel=0.1)
    assert sums[3] == pytest.approx(sums[2], rel=0.1)
    assert sums[5] == pytest.approx(sums[4], rel=0.35)
    assert found.overall.content.excess == found.overall.content.tvd - found.overall.content.null_mean
    assert np.isnan(found.overall.total.null_mean)


def test_clusters_raise_the_null_mean():
    rng = np.random.default_rng(5)
    hosts = [np.repeat(bursty(rng, 300, 50), 10, axis=0) for _ in range(2)]
    none = np.zeros((0, 50), dtype=int)
    group = np.repeat(rng.integers(GROUPS, size=300), 10)
    domains = [(y[:1500], y[1500:], none) for y in hosts]
    groups = [(group[:1500], group[1500:], np.zeros(0, dtype=int))] * 2
    single, clustered = split(domains), split(domains, clustered=True, groups=groups)
    assert clustered.overall.content.null_mean > 2 * single.overall.content.null_mean
    assert clustered.overall.content.null_mean == pytest.approx(clustered.overall.content.tvd, rel=0.3)
    assert clustered.overall.mixture.null_mean > 2 * single.overall.mixture.null_mean


def test_domains_must_be_the_whole_of_the_sides():
    parts = corpus(np.random.default_rng(6), 5, domains=2)
    with pytest.raises(ValueError, match="the domains hold"):
        decompose(parts[0].sum(axis=0) + 1, parts[0].sum(axis=0), [contrast(parts[0], parts[0])])
    with pytest.raises(ValueError, match="without tokens"):
        decompose(np.zeros(300), parts[0].sum(axis=0), [])


def test_identical_sides_have_no_change_to_attribute():
    parts = corpus(np.random.default_rng(7), 5, domains=2)
    found = split([(NONE, NONE, y) for y in parts])
    assert found.overall.total.tvd == 0
    assert np.isnan(found.overall.mixture.attribution)
    assert found.overall.content.null_mean == pytest.approx(0, abs=1e-12)
    assert len(found.overall.total.top_tokens) == 0
