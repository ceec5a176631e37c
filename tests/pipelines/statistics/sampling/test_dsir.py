import numpy as np
import pytest

from corpus_audit.pipelines.statistics.classifier.hashed_documents import HashedDocuments
from corpus_audit.pipelines.statistics.sampling.dsir import SampledCorpus, dsir

BUCKETS = 64


def documents(rng, sizes, tilts, length=40):
    """Texts of G domains; a domain's bucket distribution leans by ``tilts`` towards the upper buckets."""
    rows, domain = [], np.repeat(np.arange(len(sizes)), sizes)
    for g in domain:
        lean = np.exp(tilts[g] * np.linspace(-1, 1, BUCKETS))
        rows.append(rng.multinomial(length, rng.dirichlet(60 * lean / lean.sum())))
    result = np.array(rows)
    row, bucket = np.nonzero(result)
    size = len(domain)
    return HashedDocuments(
        starts=np.concatenate([[0], np.cumsum((result > 0).sum(axis=1))]).astype(np.int64),
        buckets=bucket.astype(np.int64),
        counts=result[row, bucket].astype(np.int64),
        domain=domain,
        tokens=rng.integers(50, 500, size),
        high=rng.integers(0, 2**63, size).astype(np.uint64),
        low=rng.integers(0, 2**63, size).astype(np.uint64),
    )


def whole(sample, domains):
    texts = np.bincount(sample.domain, minlength=domains)
    tokens = np.bincount(sample.domain, weights=sample.tokens, minlength=domains)
    return SampledCorpus(sample, texts, tokens.astype(np.int64))


@pytest.fixture(scope="module")
def corpora():
    rng = np.random.Generator(np.random.PCG64(2))
    return whole(documents(rng, [1500, 900, 600], [0, 0.3, 0.6]), 3), whole(documents(rng, [500], [0.6]), 1)


def test_the_threshold_is_what_gumbel_top_k_selects(corpora):
    corpus, target = corpora
    select = 0.2 * corpus.tokens.sum()
    result = dsir(corpus, target, select, BUCKETS)
    assert result.selected.sum() == pytest.approx(select, rel=1e-6)
    # The paper's algorithm itself, on all documents, a hundred times.
    raw, wanted = (c.sample.bucket_totals(np.ones(len(c.sample)), BUCKETS) + 0.5 for c in (corpus, target))
    weight = corpus.sample.scores(np.log(wanted / wanted.sum()) - np.log(raw / raw.sum()))
    rng = np.random.Generator(np.random.PCG64(9))
    shares = []
    for _ in range(100):
        order = np.argsort(-(weight + rng.gumbel(size=len(weight))))
        selected = order[np.cumsum(corpus.sample.tokens[order]) <= select]
        tokens = np.bincount(corpus.sample.domain[selected], weights=corpus.sample.tokens[selected], minlength=3)
        shares.append(tokens / tokens.sum())
    assert result.share == pytest.approx(np.mean(shares, axis=0), abs=0.005)
    assert result.share[2] > corpus.tokens[2] / corpus.tokens.sum() + 0.2
    assert result.kl_reduction > 0 and 0 < result.effective_share < 1 and 0.01 < result.top_weight < 1


def test_a_sample_estimates_the_whole_and_its_bounds_say_how_well(corpora):
    corpus, target = corpora
    select = 0.2 * corpus.tokens.sum()
    true_value = dsir(corpus, target, select, BUCKETS).share
    rng = np.random.Generator(np.random.PCG64(4))
    covered = []
    for _ in range(12):
        selected = np.concatenate([rng.choice(np.flatnonzero(corpus.sample.domain == g), 150, False) for g in range(3)])
        result = dsir(
            SampledCorpus(corpus.sample.take(selected), corpus.documents, corpus.tokens), target, select, BUCKETS
        )
        assert result.share == pytest.approx(true_value, abs=0.12)
        covered.append((result.low <= true_value) & (true_value <= result.high))
    assert np.mean(covered) > 0.8


def test_a_corpus_that_is_its_own_target_is_sampled_evenly(corpora):
    corpus, _ = corpora
    result = dsir(corpus, corpus, 0.3 * corpus.tokens.sum(), BUCKETS)
    assert result.share == pytest.approx(corpus.tokens / corpus.tokens.sum(), abs=1e-9)
    assert result.effective_share == pytest.approx(1) and result.top_weight == pytest.approx(0.01)
    assert result.kl_reduction == pytest.approx(0, abs=1e-12)


def test_everything_is_selected_if_there_is_no_more(corpora):
    corpus, target = corpora
    result = dsir(corpus, target, 2 * corpus.tokens.sum(), BUCKETS)
    assert result.selected == pytest.approx(corpus.tokens)
