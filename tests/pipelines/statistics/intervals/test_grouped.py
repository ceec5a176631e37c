import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters
from corpus_audit.pipelines.statistics.intervals.grouped import RandomGroups, TwoStage
from corpus_audit.pipelines.statistics.intervals.proportions import share_intervals
from tests.pipelines.statistics.intervals.dense_totals import dense_totals

TABLES = hnp.arrays(np.int64, st.tuples(st.integers(2, 12), st.integers(1, 5)), elements=st.integers(0, 10**6)).filter(
    lambda table: np.count_nonzero(table.sum(axis=1)) >= 2
)


@given(TABLES)
def test_sparse_cells_give_the_dense_variance(table):
    design = RandomGroups(dense_totals(table), clusters=10**6)
    total = float(table.sum())
    share = table.sum(axis=0) / total
    sizes = table.sum(axis=1)
    groups = np.count_nonzero(sizes)
    expected = groups / (groups - 1) * ((table - share * sizes[:, None]) ** 2).sum(axis=0) / total**2
    assert design.variance() == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert (design.degrees_of_freedom <= groups - 1).all()


def test_groups_of_one_document_each_are_the_document_estimator():
    rng = np.random.default_rng(3)
    domain = rng.integers(0, 4, 300)
    size = rng.integers(1, 1000, 300)
    table = np.zeros((300, 4), dtype=np.int64)
    table[np.arange(300), domain] = size
    counts = table.sum(axis=0)
    documents = DocumentClusters(counts, (table.astype(object) ** 2).sum(axis=0), 300)
    groups = RandomGroups(dense_totals(table), clusters=300)
    assert groups.variance() == pytest.approx(documents.variance(), rel=1e-10)


def test_effective_clusters_are_estimated_from_random_groups():
    rng = np.random.default_rng(4)
    hosts = rng.lognormal(3, 1, 20_000).astype(int) + 1
    totals = np.zeros((1024, 1), dtype=np.int64)
    np.add.at(totals[:, 0], rng.integers(0, 1024, len(hosts)), hosts)
    design = RandomGroups(dense_totals(totals), clusters=len(hosts))
    assert design.effective_clusters == pytest.approx(hosts.sum() ** 2 / (hosts**2).sum(), rel=0.15)
    alone = RandomGroups(dense_totals(np.array([[5], [0]])), clusters=1)
    assert alone.effective_clusters == 1
    assert np.isnan(alone.variance()).all()


def test_equal_normal_scores_have_about_all_degrees_of_freedom():
    rng = np.random.default_rng(8)
    table = np.stack([rng.normal(1000, 30, 1024), rng.normal(9000, 30, 1024)], axis=1).astype(np.int64)
    freedom = RandomGroups(dense_totals(table), clusters=10**6).degrees_of_freedom
    assert freedom == pytest.approx([1023, 1023], rel=0.15)
    one_host = np.zeros((1024, 2), dtype=np.int64)
    one_host[:, 0] = 1000
    one_host[7, 1] = 5000
    assert RandomGroups(dense_totals(one_host), clusters=10**6).degrees_of_freedom[1] < 2.1


def two_stage(table, planned):
    documents = DocumentClusters(table.sum(axis=0), (table.astype(object)).sum(axis=0), int(table.sum()))
    return TwoStage(dense_totals(table), planned, documents)


def test_two_stages_by_the_formula():
    table = np.array([[10, 5], [20, 1], [3, 9], [8, 8]])
    design = two_stage(table, 10)
    share = table.sum(axis=0) / table.sum()
    between = 4 / 3 * ((table - share * table.sum(axis=1)[:, None]) ** 2).sum(axis=0) / table.sum() ** 2
    expected = 0.6 * between + 0.4 * design.within.variance()
    assert design.variance() == pytest.approx(expected, rel=1e-12)


def test_all_splits_read_is_the_full_scan():
    design = two_stage(np.array([[10, 5], [20, 1], [3, 9]]), 3)
    assert design.variance() == pytest.approx(design.within.variance())
    assert design.degrees_of_freedom == pytest.approx(design.within.degrees_of_freedom)
    assert design.effective_clusters == design.within.effective_clusters


def test_one_split_of_several_gives_no_variance():
    assert np.isnan(two_stage(np.array([[10, 5]]), 3).variance()).all()


def test_deviations_of_groups_have_their_variance():
    table = np.random.default_rng(0).integers(0, 100, (50, 3))
    for design in (RandomGroups(dense_totals(table), 10**6), two_stage(table, 200)):
        drawn = design.deviations(np.random.default_rng(1), 100_000)
        assert drawn.var(axis=0) == pytest.approx(design.variance(), rel=0.03)
        assert drawn.sum(axis=1) == pytest.approx(np.zeros(100_000), abs=1e-12)


def test_sampled_splits_cover_the_shares_of_all_splits():
    rng = np.random.default_rng(11)
    covered = []
    for _ in range(300):
        # 200 splits of 100 documents, each split with a mixture of its own; 40 are read.
        mixtures = rng.dirichlet([4, 2, 1], 200)
        table = np.stack([rng.multinomial(100, mixture) for mixture in mixtures])
        true_value = np.array([4, 2, 1]) / 7
        bounds = share_intervals(two_stage(table[rng.permutation(200)[:40]], 200))
        covered.append((bounds.low <= true_value) & (true_value <= bounds.high))
    # 900 intervals that are dependent within a run of three: three standard errors are about 3 points.
    assert 0.92 <= np.mean(covered) <= 0.98


def test_hosts_as_clusters_cover_where_documents_do_not():
    rng = np.random.default_rng(12)
    true_value = np.array([0.7, 0.2, 0.1])
    by_host, by_document = [], []
    for _ in range(150):
        hosts = 3000
        domain = rng.choice(3, hosts, p=true_value)
        pages = rng.geometric(0.05, hosts)
        table = np.zeros((1024, 3), dtype=np.int64)
        np.add.at(table, (rng.integers(0, 1024, hosts), domain), pages)
        counts = table.sum(axis=0)
        for result, design in (
            (by_host, RandomGroups(dense_totals(table), hosts)),
            (by_document, DocumentClusters(counts, counts.astype(object), int(counts.sum()))),
        ):
            bounds = share_intervals(design)
            result.append((bounds.low <= true_value) & (true_value <= bounds.high))
    assert 0.92 <= np.mean(by_host) <= 0.98
    assert np.mean(by_document) < 0.6
