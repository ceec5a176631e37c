import numpy as np
import pytest
from scipy import stats

from corpus_audit.pipelines.statistics.drift.domain_drift import DomainSample, domain_drift, shares_alone


def sample(domain, length, domains, group=None, groups=64):
    lengths = np.asarray(length, dtype=np.int64)
    documents = np.bincount(domain, minlength=domains)
    tokens = np.bincount(domain, lengths, domains).astype(np.int64)
    squared = np.bincount(domain, (lengths * lengths).astype(float), domains).astype(np.int64).astype(object)
    if group is None:
        return DomainSample(documents, tokens, squared)
    tables = np.zeros((2, groups, domains), dtype=np.int64)
    np.add.at(tables[0], (group, domain), 1)
    np.add.at(tables[1], (group, domain), lengths)
    return DomainSample(documents, tokens, squared, tables[0], tables[1])


def documents(*counts):
    found = np.array(counts)
    return DomainSample(found, found, found.astype(object))


NOTHING = documents(0, 0)


def test_documents_of_two_domains_are_the_two_proportion_test():
    found = domain_drift(documents(40, 60), documents(90, 110), NOTHING, "documents")
    pooled = 130 / 300
    error = np.sqrt(pooled * (1 - pooled) / 299 * 300 * (1 / 100 + 1 / 200))
    assert found.difference == pytest.approx([0.05, -0.05])
    assert found.p[0] == pytest.approx(2 * stats.t.sf(0.05 / error, 131))
    assert found.low[0] == pytest.approx(0.05 - stats.t.ppf(0.975, 131) * error)
    assert found.q.tolist() == pytest.approx(found.p.tolist(), rel=0.02)


def test_shared_documents_subtract_their_covariance():
    # The unshared hundred on each side decide; the shared thousand only dilute.
    alone = domain_drift(documents(40, 60), documents(55, 45), NOTHING, "documents")
    found = domain_drift(documents(40, 60), documents(55, 45), documents(475, 525), "documents")
    assert found.difference[0] == pytest.approx(alone.difference[0] / 11)
    assert found.p[0] == pytest.approx(alone.p[0], rel=0.1)
    assert (found.high - found.low)[0] == pytest.approx((alone.high - alone.low)[0] / 11, rel=0.02)


def test_variance_is_that_of_the_documents_themselves():
    rng = np.random.default_rng(0)
    domain, length = rng.integers(0, 3, 600), rng.lognormal(4, 1, 600).astype(int) + 1
    cut = np.array([200, 350])
    parts = [sample(d, n, 3) for d, n in zip(np.split(domain, cut), np.split(length, cut), strict=True)]
    found = domain_drift(*parts, "tokens")
    size = [int(part.tokens.sum()) for part in parts]
    for g in range(3):
        y = length * (domain == g)
        share = y.sum() / length.sum()
        spread = 600 / 599 * ((y - share * length) ** 2).sum() / length.sum()
        both = (size[0] + size[2]) * (size[1] + size[2])
        variance = spread * (1 / (size[0] + size[2]) + 1 / (size[1] + size[2]) - 2 * size[2] / both)
        held = y.sum() ** 2 / (y.astype(float) ** 2).sum()
        half = (found.high - found.low)[g] / 2
        assert half / np.sqrt(variance) == pytest.approx(stats.t.ppf(0.975, held + 1), rel=0.01)


def test_identical_snapshots_do_not_drift():
    found = domain_drift(NOTHING, NOTHING, documents(30, 70), "tokens")
    assert found.p.tolist() == [1, 1]
    assert found.low == pytest.approx([0, 0], abs=1e-9)


def test_a_domain_that_neither_side_holds_has_no_bounds():
    found = domain_drift(documents(20, 20, 0), documents(15, 20, 0), documents(0, 0, 0), "documents")
    assert found.difference[2] == 0
    assert np.isnan([found.low[2], found.high[2], found.p[2], found.q[2]]).all()
    assert not np.isnan(found.q[:2]).any()


def test_a_domain_that_vanished_is_noticed():
    found = domain_drift(documents(30, 970), documents(0, 1000), NOTHING, "documents")
    assert found.high[0] < 0
    assert found.p[0] < 1e-4


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="neither documents nor tokens"):
        domain_drift(documents(1, 1), documents(1, 1), NOTHING, "bytes")
    with pytest.raises(ValueError, match="without documents"):
        domain_drift(documents(1, 1), NOTHING, NOTHING, "tokens")


WEIGHTS = np.array([0.4, 0.2, 0.1, 0.1, 0.06, 0.05, 0.04, 0.03, 0.02])
NEW_WEIGHTS = WEIGHTS * np.exp(0.3 * np.sin(2 * np.arange(9)))


def covered(rng, sizes, spread, unit, drifted, clustered=False):
    """Whether the bounds hold the true difference, [G], of documents drawn with replacement; and whether p rejects."""
    population = rng.choice(9, 20_000, p=WEIGHTS)
    changed = rng.choice(9, 20_000, p=NEW_WEIGHTS / NEW_WEIGHTS.sum()) if drifted else population
    domains = population, changed, population
    lengths = [rng.lognormal(5 + 0.5 * np.sin(domain), spread).astype(np.int64) + 1 for domain in domains]
    lengths[2] = lengths[0]
    if not drifted:
        lengths[1] = lengths[0]
    parts, expected = [], []
    for domain, length, size in zip(domains, lengths, sizes, strict=True):
        chosen = rng.integers(len(domain), size=size)
        copies = 10 if clustered else 1
        chosen = np.repeat(chosen[: size // copies], copies)
        group = np.repeat(rng.integers(64, size=size // copies), copies) if clustered else None
        parts.append(sample(domain[chosen], length[chosen], 9, group))
        weight = np.ones(len(domain)) if unit == "documents" else length
        expected.append(np.bincount(domain, weight, 9) / len(domain) * size)
    before, now = expected[0] + expected[2], expected[1] + expected[2]
    truth = now / now.sum() - before / before.sum()
    found = domain_drift(*parts, unit)
    return (found.low <= truth) & (truth <= found.high), found.p < 0.05


@pytest.mark.parametrize("sizes", [(1000, 1000, 0), (500, 1500, 0), (0, 150, 1200)])
@pytest.mark.parametrize("unit", ["documents", "tokens"])
def test_differences_cover(sizes, unit):
    rng = np.random.default_rng(sum(sizes) + len(unit))
    results = [covered(rng, sizes, 0.8, unit, drifted=False) for _ in range(60)]
    hits, rejected = (np.mean([result[k] for result in results]) for k in (0, 1))
    assert 0.92 <= hits <= 0.985
    assert rejected == pytest.approx(1 - hits, abs=1e-9)


@pytest.mark.parametrize("sizes", [(2000, 2000, 0), (1000, 1000, 1000)])
def test_clusters_cover(sizes):
    rng = np.random.default_rng(5)
    hits = np.mean([covered(rng, sizes, 0.5, "tokens", drifted=True, clustered=True)[0] for _ in range(60)])
    assert 0.92 <= hits <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(1, 1, 0), (0.5, 1.5, 0), (0.5, 0.5, 0.5), (0.1, 0.1, 0.9), (0, 0.1, 0.9)])
@pytest.mark.parametrize("unit", ["documents", "tokens"])
@pytest.mark.parametrize("drifted", [False, True])
def test_differences_cover_at_many_sizes(sizes, unit, drifted):
    for scale in (500, 5000):
        rng = np.random.default_rng(scale)
        drawn = tuple(int(part * scale) for part in sizes)
        hits = np.mean([covered(rng, drawn, 1.0, unit, drifted)[0] for _ in range(250)])
        assert 0.93 <= hits <= 0.975


def test_a_small_side_moves_nothing():
    found = domain_drift(documents(0, 12), documents(700, 300), NOTHING, "documents")
    assert found.difference[0] == pytest.approx(0.7)
    assert found.reason == "the baseline has 12 documents, and 30 are needed"
    assert all(np.isnan(values).all() for values in (found.low, found.high, found.p, found.q))
    assert domain_drift(documents(0, 30), documents(700, 300), NOTHING, "documents").reason is None


def test_one_huge_document_is_a_small_side():
    baseline = DomainSample(np.array([500, 1]), np.array([500, 100_000]), np.array([500, 100_000**2], object))
    found = domain_drift(baseline, documents(700, 300), NOTHING, "tokens")
    assert found.reason is not None and "spread as over 1.0 equal documents" in found.reason
    assert np.isnan(found.low).all() and np.isnan(found.q).all()


def test_the_same_few_documents_have_not_moved():
    found = domain_drift(NOTHING, NOTHING, documents(3, 4), "documents")
    assert found.reason is None and found.low.tolist() == [0, 0] and found.high.tolist() == [0, 0]


def test_the_same_documents_move_no_share_in_any_domain():
    shared = DomainSample(np.array([3, 2, 0]), np.array([30, 0, 0]), np.array([300, 0, 0], object))
    none = DomainSample(*(np.zeros(3, dtype) for dtype in (np.int64, np.int64, object)))
    for unit in ("documents", "tokens"):
        found = domain_drift(none, none, shared, unit)
        assert not np.any([found.difference, found.low, found.high]) and found.reason is None
        assert found.p.tolist() == found.q.tolist() == [1, 1, 1]


def test_a_side_without_anything_has_no_shares_and_a_reason():
    empty = DomainSample(np.array([4, 0]), np.array([0, 0]), np.array([0, 0], object))
    one, other = documents(1, 3), NOTHING
    assert shares_alone(one, one, NOTHING, "documents") is None
    assert shares_alone(other, other, one, "documents") is None
    found = shares_alone(empty, one, NOTHING, "tokens")
    assert found.share_current.tolist() == [0.25, 0.75] and np.isnan(found.share_baseline).all()
    assert np.isnan(found.difference).all() and found.reason == "the baseline holds no tokens"
    assert shares_alone(one, empty, NOTHING, "tokens").reason == "the current snapshot holds no tokens"
    assert shares_alone(empty, empty, NOTHING, "tokens").reason == "neither snapshot holds any tokens"
