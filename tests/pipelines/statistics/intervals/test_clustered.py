import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters, satterthwaite, shares_of

DOCUMENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**6)), min_size=2, max_size=60).filter(
    lambda documents: any(size for _, size in documents)
)


def design_of(documents, domains=4):
    counts = np.zeros(domains, dtype=np.int64)
    squares = np.zeros(domains, dtype=object)
    for domain, size in documents:
        counts[domain] += size
        squares[domain] += size * size
    return DocumentClusters(counts, squares, len(documents))


@given(DOCUMENTS)
def test_counters_give_the_variance_of_the_documents_themselves(documents):
    domain = np.array([d for d, _ in documents])
    size = np.array([float(n) for _, n in documents])
    design = design_of(documents)
    many = len(documents)
    for g in range(4):
        y = size * (domain == g)
        share = y.sum() / size.sum()
        expected = many / (many - 1) * ((y - share * size) ** 2).sum() / size.sum() ** 2
        assert design.variance()[g] == pytest.approx(expected, rel=1e-9, abs=1e-18)


def test_document_shares_have_the_binomial_variance():
    counts = np.array([7, 3])
    design = DocumentClusters(counts, counts.astype(object), 10)
    assert design.variance() == pytest.approx([0.7 * 0.3 / 9, 0.3 * 0.7 / 9], rel=1e-12)
    assert design.effective_clusters == 10
    assert design.degrees_of_freedom == pytest.approx([9, 9])


def test_variance_agrees_with_the_delete_one_jackknife():
    rng = np.random.default_rng(5)
    domain = rng.integers(0, 3, 2000)
    size = rng.lognormal(5, 0.7, 2000).astype(int) + 1
    design = design_of(list(zip(domain.tolist(), size.tolist(), strict=True)), 3)
    total = size.sum()
    for g in range(3):
        y = size * (domain == g)
        left_out = (y.sum() - y) / (total - size)
        jackknife = 1999 / 2000 * ((left_out - left_out.mean()) ** 2).sum()
        assert design.variance()[g] == pytest.approx(jackknife, rel=0.01)


def test_second_moments_past_64_bits_do_not_cancel():
    # One document of the small domain beside 10^6 of 10^13 tokens each: S is 10^32, S - S_g is 1.
    counts = np.array([10**18 * 9, 1], dtype=np.int64)
    squares = np.array([9 * 10**5 * (10**13) ** 2, 1], dtype=object)
    design = DocumentClusters(counts, squares, 9 * 10**5 + 1)
    total = 9 * 10**18 + 1
    share = 1 / total
    expected = (1.0 + share**2 * 9e31) / float(total) ** 2
    assert design.variance() == pytest.approx([expected, expected], rel=1e-5)


def test_one_document_has_no_variance():
    design = DocumentClusters(np.array([5, 0]), np.array([25, 0], dtype=object), 1)
    assert np.isnan(design.variance()).all()


def test_a_domain_of_few_documents_has_few_degrees_of_freedom():
    documents = [(0, 90)] * 500 + [(0, 110)] * 497 + [(1, 50), (1, 100), (1, 150)]
    freedom = design_of(documents, 2).degrees_of_freedom
    effective = 300**2 / (50**2 + 100**2 + 150**2)
    # Both domains' variances come from the three documents, in which they are the same number.
    assert freedom == pytest.approx([effective + 1, effective + 1], rel=0.02)


def test_satterthwaite_of_one_part_is_that_part():
    one, none = np.array([2.0]), np.array([0.0])
    assert satterthwaite((one, np.array([7.0])), (none, np.array([1.0])), np.array([100.0])) == pytest.approx([7])
    assert satterthwaite((one, np.array([7.0])), (one, np.array([7.0])), np.array([100.0])) == pytest.approx([14])
    assert satterthwaite((one, np.array([7.0])), (one, np.array([7.0])), np.array([9.0])) == pytest.approx([9])


def test_deviations_have_the_covariance_of_the_shares():
    rng = np.random.default_rng(2)
    domain = rng.integers(0, 3, 400)
    size = rng.integers(1, 50, 400)
    design = design_of(list(zip(domain.tolist(), size.tolist(), strict=True)), 3)
    drawn = design.deviations(np.random.default_rng(0), 200_000)
    scores = np.stack([(size * (domain == g)) - shares_of(design.counts)[g] * size for g in range(3)])
    expected = 400 / 399 * scores @ scores.T / size.sum() ** 2
    assert np.cov(drawn.T) == pytest.approx(expected, rel=0.03, abs=2e-6)
    assert drawn.sum(axis=1) == pytest.approx(np.zeros(200_000), abs=1e-12)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="total is 0"):
        shares_of([0, 0])
