import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from corpus_audit.pipelines.statistics.intervals.vocabulary import (
    GROUPS,
    EntropyEstimate,
    GroupedEntropy,
    cell_blocks,
    clustered_entropy,
    effective_vocabulary,
)


def grouped(table):
    """Estimate of one domain from counts [T, 64]."""
    sums = GroupedEntropy(1)
    row, group = np.nonzero(table)
    sums.add(np.zeros(len(table), dtype=np.int64), row, group, table[row, group])
    return sums.result()


def clustered(documents):
    """Estimate of one domain from counts [D, T]."""
    documents = documents.astype(float)
    lengths = documents.sum(axis=1)
    present = documents.sum(axis=0) > 0
    documents = documents[:, present]
    return clustered_entropy(
        np.zeros(documents.shape[1], dtype=np.int64),
        documents.sum(axis=0),
        (documents**2).sum(axis=0),
        (documents * lengths[:, None]).sum(axis=0),
        1,
    )


COUNTS = hnp.arrays(np.int64, st.tuples(st.integers(1, 30), st.just(GROUPS)), elements=st.integers(0, 5)).filter(
    lambda table: np.count_nonzero(table.sum(axis=0)) >= 2
)


@given(COUNTS)
def test_jackknife_equals_leaving_groups_out_one_by_one(table):
    computed = grouped(table)
    sizes = table.sum(axis=0)
    total = sizes.sum()
    whole = stats.entropy(table.sum(axis=1))
    assert computed.entropy[0] == pytest.approx(whole, abs=1e-9)
    without = np.array([stats.entropy(table.sum(axis=1) - table[:, g]) for g in np.flatnonzero(sizes)])
    ratio = total / sizes[sizes > 0]
    groups = len(ratio)
    corrected = groups * whole - ((1 - 1 / ratio) * without).sum()
    pseudo = ratio * whole - (ratio - 1) * without
    error = np.sqrt(((pseudo - corrected) ** 2 / (ratio - 1)).sum() / groups)
    assert computed.bias[0] == pytest.approx(corrected - whole, abs=1e-8)
    assert computed.error[0] == pytest.approx(error, abs=1e-8)
    assert computed.degrees_of_freedom[0] == groups - 1


def test_equal_groups_give_the_usual_jackknife():
    rng = np.random.default_rng(0)
    table = np.stack([rng.multinomial(500, [0.5, 0.3, 0.15, 0.05]) for _ in range(GROUPS)], axis=1)
    computed = grouped(table)
    without = np.array([stats.entropy(table.sum(axis=1) - table[:, g]) for g in range(GROUPS)])
    assert computed.error[0] == pytest.approx(np.sqrt(63 / 64 * ((without - without.mean()) ** 2).sum()), rel=1e-6)
    assert computed.bias[0] == pytest.approx(63 * (computed.entropy[0] - without.mean()), rel=1e-6)
    # Independent tokens: Basharin's (1959) variance.
    share = table.sum(axis=1) / table.sum()
    basharin = np.sqrt(((share * np.log(share) ** 2).sum() - computed.entropy[0] ** 2) / table.sum())
    assert computed.error[0] == pytest.approx(basharin, rel=0.3)


def test_blocks_and_domains_do_not_mix():
    rng = np.random.default_rng(1)
    tables = [rng.integers(0, 4, (7, GROUPS)), rng.integers(0, 9, (5, GROUPS))]
    both = GroupedEntropy(2)
    for g, table in enumerate(tables):
        for part in (table[:3], table[3:]):
            row, group = np.nonzero(part)
            both.add(np.full(len(part), g), row, group, part[row, group])
    computed = both.result()
    for g, table in enumerate(tables):
        alone = grouped(table)
        assert computed.entropy[g] == pytest.approx(alone.entropy[0])
        assert computed.error[g] == pytest.approx(alone.error[0])


def test_a_single_group_and_no_group_have_no_error():
    table = np.zeros((3, GROUPS), dtype=np.int64)
    assert np.isnan(grouped(table).entropy[0])
    table[:, 9] = 5
    computed = grouped(table)
    assert computed.entropy[0] == pytest.approx(np.log(3))
    assert np.isnan([computed.error[0], computed.bias[0]]).all()


@given(st.lists(st.sets(st.integers(0, 63), min_size=1), max_size=20))
def test_masks_unpack_into_cells(rows):
    masks = np.array([sum(1 << g for g in row) for row in rows], dtype=np.uint64)
    offsets = np.cumsum([0] + [len(row) for row in rows])
    counts = np.arange(1, offsets[-1] + 1)
    blocks = list(cell_blocks(masks, offsets, counts))
    expected = [(i, g) for i, row in enumerate(rows) for g in sorted(row)]
    computed = [cell for b in blocks for cell in zip((b.row + b.rows.start).tolist(), b.group.tolist(), strict=True)]
    assert computed == expected
    assert [c for b in blocks for c in b.counts.tolist()] == counts.tolist()


@given(hnp.arrays(np.int64, st.tuples(st.integers(3, 20), st.integers(1, 10)), elements=st.integers(0, 20)))
def test_the_clustered_error_is_an_upper_bound_of_the_delta_method(documents):
    lengths = documents.sum(axis=1).astype(float)
    total = lengths.sum()
    if total == 0 or total**2 / (lengths**2).sum() <= 1.01:
        return
    computed = clustered(documents)
    share = documents.sum(axis=0) / total
    present = share > 0
    entropy = stats.entropy(share)
    assert computed.entropy[0] == pytest.approx(entropy, abs=1e-9)
    surprise = -np.log(share[present]) - entropy
    delta = np.sqrt(((documents[:, present] @ surprise) ** 2).sum()) / total
    assert computed.error[0] >= delta * (1 - 1e-9) - 1e-12


def test_the_bound_is_reached_by_documents_of_one_token_each():
    documents = np.zeros((100, 2), dtype=np.int64)
    documents[:30, 0] = 50
    documents[30:, 1] = 50
    computed = clustered(documents)
    surprise = -np.log([0.3, 0.7]) - computed.entropy[0]
    variance = (0.3 * surprise[0] ** 2 + 0.7 * surprise[1] ** 2) / 99
    assert computed.error[0] == pytest.approx(np.sqrt(variance))


def test_clustered_bias_is_millers_for_independent_tokens():
    # Documents of one token each: the clustered variance is p (1 - p) / (N - 1).
    documents = np.repeat(np.eye(5, dtype=np.int64), 20, axis=0)
    assert clustered(documents).bias[0] == pytest.approx(4 / (2 * 99))


def test_one_document_has_no_error():
    computed = clustered(np.array([[3, 2, 1]]))
    assert np.isnan([computed.error[0], computed.bias[0]]).all()


def estimate(entropy, bias, error, freedom):
    return EntropyEstimate(*(np.array([value]) for value in (entropy, bias, error, freedom)))


def test_effective_vocabulary_and_its_bounds():
    value, low, high = effective_vocabulary(estimate(np.log(100), 0.02, 0.01, 63.0), 50_000)
    quantile = stats.t.ppf(0.975, 63)
    assert value[0] == pytest.approx(100)
    assert low[0] == pytest.approx(100 * np.exp(-0.01 * quantile))
    assert high[0] == pytest.approx(100 * np.exp(0.02 + 0.01 * quantile))
    value, low, high = effective_vocabulary(estimate(np.log(100), 0.5, 9.0, 63.0), 120)
    assert (low[0], high[0]) == (1, 120)
    value, low, high = effective_vocabulary(estimate(np.log(100), np.nan, np.nan, np.nan), 120)
    assert value[0] == pytest.approx(100)
    assert np.isnan([low[0], high[0]]).all()


def bursty_documents(rng, share, documents, length):
    return np.stack([rng.multinomial(length, rng.dirichlet(share * 50)) for _ in range(documents)])


@pytest.mark.slow
def test_effective_vocabulary_covers_under_bursty_documents():
    rng = np.random.default_rng(9)
    share = 1 / np.arange(1, 301)
    share /= share.sum()
    true_value = np.exp(stats.entropy(share))
    by_groups, by_counters = [], []
    for _ in range(120):
        documents = bursty_documents(rng, share, 640, 60)
        table = np.zeros((len(share), GROUPS), dtype=np.int64)
        np.add.at(table.T, rng.integers(0, GROUPS, len(documents)), documents)
        for covered, computed in ((by_groups, grouped(table)), (by_counters, clustered(documents))):
            _, low, high = effective_vocabulary(computed, len(share))
            covered.append(low[0] <= true_value <= high[0])
    assert np.mean(by_groups) >= 0.9
    assert np.mean(by_counters) >= 0.95
