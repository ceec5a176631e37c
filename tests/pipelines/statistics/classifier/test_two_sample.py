import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from corpus_audit.pipelines.statistics.classifier import separation
from corpus_audit.pipelines.statistics.classifier.hashed_documents import HashedDocuments
from corpus_audit.pipelines.statistics.classifier.two_sample import classifier_test, proportional_sample

BUCKETS = 256
FREQUENT = 1 / np.arange(1, BUCKETS + 1) ** 0.9
TOPICS = np.random.Generator(np.random.PCG64(7)).dirichlet(60 * FREQUENT / FREQUENT.sum(), 12)
CHANGE = np.random.Generator(np.random.PCG64(11)).standard_normal(BUCKETS)


def hashed(rows, rng, domain=None):
    row, bucket = np.nonzero(rows)
    size = len(rows)
    return HashedDocuments(
        starts=np.concatenate([[0], np.cumsum((rows > 0).sum(axis=1))]).astype(np.int64),
        buckets=bucket.astype(np.int64),
        counts=rows[row, bucket].astype(np.int64),
        domain=np.zeros(size, np.int64) if domain is None else domain,
        tokens=rows.sum(axis=1).astype(np.int64),
        high=rng.integers(0, 2**63, size).astype(np.uint64),
        low=rng.integers(0, 2**63, size).astype(np.uint64),
    )


def topical(rng, size, drift=0.0):
    """Bursty documents: a topic each; ``drift`` changes what topics say."""
    changed = TOPICS * np.exp(drift * CHANGE)
    chances = 0.5 * changed / changed.sum(axis=1, keepdims=True) + 0.5 * FREQUENT / FREQUENT.sum()
    return hashed(rng.multinomial(40, chances[rng.integers(0, len(TOPICS), size)]), rng)


def dense(side):
    shape = (len(side), BUCKETS)
    return sparse.csr_matrix((side.counts.astype(float), side.buckets, side.starts), shape=shape).toarray()


def test_the_auc_is_that_of_scikit_learn():
    rng = np.random.Generator(np.random.PCG64(1))
    sides = topical(rng, 600), topical(rng, 400, 0.4)
    result = classifier_test(*sides, BUCKETS, permutations=0)
    counts = np.concatenate([dense(side) for side in sides])
    features = np.log1p(counts) * (np.log((1 + len(counts)) / (1 + (counts > 0).sum(axis=0))) + 1)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    label = np.repeat([0, 1], [600, 400])
    fold = np.concatenate([side.low for side in sides]) % 5
    aucs = []
    for f in range(5):
        model = LogisticRegression(class_weight="balanced", max_iter=500).fit(features[fold != f], label[fold != f])
        aucs.append(roc_auc_score(label[fold == f], model.decision_function(features[fold == f])))
    assert result.auc == pytest.approx(np.mean(aucs), abs=0.01)
    assert result.auc > 0.6 and result.low < result.auc < result.high


def test_nulls_are_rejected_rarely_and_covered():
    rng = np.random.Generator(np.random.PCG64(3))
    tests = [classifier_test(topical(rng, 120), topical(rng, 160), BUCKETS) for _ in range(60)]
    assert np.mean([test.p <= 0.05 for test in tests]) <= 0.1  # 5 % and two binomial deviations
    assert np.mean([test.low <= 0.5 <= test.high for test in tests]) >= 0.9
    assert all(0 < test.p <= 1 and test.permutations >= separation.ENOUGH for test in tests)
    assert np.mean([test.permutations for test in tests]) < 60, "nulls end early"


def test_intervals_cover_under_drift():
    rng = np.random.Generator(np.random.PCG64(4))
    tests = [classifier_test(topical(rng, 150), topical(rng, 150, 0.5), BUCKETS, 0) for _ in range(60)]
    mean = np.mean([test.auc for test in tests])
    assert np.mean([test.low <= mean <= test.high for test in tests]) >= 0.9
    assert np.mean([test.high - test.low for test in tests]) < 0.25


def test_pairs_that_unigrams_do_not_show_are_found():
    # Buckets 10 and 11 stand for bigrams; the first side has one in every document, the second the other.
    rng = np.random.Generator(np.random.PCG64(5))
    rows = [rng.multinomial(40, np.full(BUCKETS, 1 / BUCKETS), 150) for _ in range(2)]
    rows[0][:, 10] += 3
    rows[1][:, 11] += 3
    sides = [hashed(side, rng) for side in rows]
    result = classifier_test(*sides, BUCKETS)
    assert result.auc > 0.99 and result.p == 0.01 and result.permutations == 99
    assert result.features_first[0] == 10 and result.features_second[0] == 11
    assert len(result.typical_first) == 10 and max(result.typical_first) < 150
    assert classifier_test(*sides, BUCKETS) == result, "the same input gives the same result"


def test_shared_documents_are_dropped():
    rng = np.random.Generator(np.random.PCG64(6))
    both, more = topical(rng, 400), topical(rng, 150)
    rows = np.concatenate([dense(both), dense(more)]).astype(int)
    grown = hashed(rows, rng)
    grown.high[:400], grown.low[:400] = both.high, both.low
    result = classifier_test(both, grown, BUCKETS)
    assert (result.documents_first, result.documents_second) == (0, 150)
    assert np.isnan(result.auc) and np.isnan(result.p) and "fewer than 100" in result.reason
    other = topical(rng, 150)
    joined = hashed(np.concatenate([dense(both), dense(other)]).astype(int), rng)
    joined.high[:400], joined.low[:400] = both.high, both.low
    result = classifier_test(joined, grown, BUCKETS)
    assert (result.documents_first, result.documents_second) == (150, 150) and 0.3 < result.auc < 0.7
    assert min(result.typical_first) >= 400, "positions are those of the input"


def test_a_proportional_sample_has_the_corpus_s_mix():
    rng = np.random.Generator(np.random.PCG64(8))
    domain = np.repeat([0, 1, 2], [300, 300, 30])
    sample = hashed(rng.multinomial(5, np.full(BUCKETS, 1 / BUCKETS), 630), rng, domain)
    selected = proportional_sample(sample, [30, 10, 1], 400)
    counts = np.bincount(domain[selected], minlength=3)
    assert counts.tolist() == [299, 100, 1]
    lowest = np.sort(sample.high[domain == 1])[:100]
    assert np.array_equal(np.sort(sample.high[selected][domain[selected] == 1]), lowest)
    assert len(proportional_sample(sample, [0, 0, 0], 400)) == 0
