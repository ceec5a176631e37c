import decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from corpus_audit.pipelines.figures import published
from corpus_audit.pipelines.figures.facet_totals import FacetTotals, wide_integers
from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters
from corpus_audit.pipelines.statistics.intervals.proportions import share_intervals
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables import run_tables
from tests.pipelines.figures.integer_tables import VOCABULARY_SIZE, Corpus, assert_ordered, corpus, row


def test_shares_are_those_of_the_documents():
    small = corpus()
    table = published.proportions(small.domains(), None, {"web": 0.5, "code": 0.5})
    order = [("facet", "ascending"), ("unit", "ascending"), ("count", "descending"), ("value", "ascending")]
    assert_ordered(table, run_tables.PROPORTIONS, *order)
    web = row(table, facet="domain", value="web", unit="tokens")
    y = small.tokens * (small.domain == "web")
    assert (web["count"], web["total"]) == (y.sum(), small.tokens.sum())
    assert web["share"] == y.sum() / small.tokens.sum()
    assert web["difference"] == pytest.approx(web["share"] - 0.5)
    assert web["difference_low"] == pytest.approx(web["low"] - 0.5)
    assert web["method"] == "Korn-Graubard, documents"
    assert row(table, facet="domain", value="books", unit="tokens")["intended"] == 0
    assert row(table, facet="domain", value="web", unit="bytes")["intended"] is None
    assert pc.all(pc.is_null(table.filter(pc.equal(table["facet"], "host"))["intended"])).as_py()
    design = DocumentClusters(
        np.array([y.sum(), small.tokens.sum() - y.sum()]),
        np.array([int((y**2).sum()), int((small.tokens**2).sum() - (y**2).sum())], dtype=object),
        len(y),
    )
    assert web["low"] == pytest.approx(share_intervals(design).low[0])


def test_an_intended_domain_that_is_absent_has_a_row_with_an_upper_bound():
    table = published.proportions(corpus().domains(), None, {"web": 0.9, "patents": 0.1})
    for unit in published.UNITS:
        patents = row(table, facet="domain", value="patents", unit=unit)
        assert (patents["count"], patents["share"], patents["low"], patents["clusters"]) == (0, 0, 0, 0)
        assert 0 < patents["high"] < 0.05
    patents = row(table, value="patents", unit="tokens")
    assert patents["difference"] == pytest.approx(-0.1)
    assert patents["difference_high"] < 0


def test_the_remainder_takes_the_intended_shares_of_values_without_a_row():
    domains = corpus().domains()
    renamed = pc.if_else(pc.equal(domains["value"], "books"), run_tables.OTHER_VALUES, domains["value"])
    domains = domains.set_column(1, run_tables.DOMAINS.field("value"), renamed)
    table = published.proportions(domains, None, {"web": 0.8, "books": 0.15, "patents": 0.05})
    other = row(table, facet="domain", value=run_tables.OTHER_VALUES, unit="tokens")
    assert other["intended"] == pytest.approx(0.2)
    assert pc.sum(pc.equal(table["value"], "patents")).as_py() == 0
    quantiles = published.length_quantiles(corpus().lengths(), domains)
    assert row(quantiles, domain=run_tables.OTHER_VALUES, unit="tokens", quantile=0.5)["documents"] > 0


def test_cluster_groups_and_splits_change_the_method_and_not_the_share():
    small = corpus()
    domains = small.domains()
    groups = small.cells("group", small.cluster)
    sampling = published.SampledSplits(small.cells("split", small.split), read=4, planned=16)
    plain = published.proportions(domains)
    for table, label in (
        (published.proportions(domains, groups), "Korn-Graubard, 1024 random groups"),
        (
            published.proportions(domains, sampling=sampling),
            "Korn-Graubard, two stages: 4 of 16 splits, documents",
        ),
        (
            published.proportions(domains, groups, sampling=sampling),
            "Korn-Graubard, two stages: 4 of 16 splits, 1024 random groups",
        ),
    ):
        assert table["share"].equals(plain["share"])
        assert pc.unique(table["method"]).to_pylist() == [label]
        web = row(table, facet="domain", value="web", unit="tokens")
        assert web["low"] < web["share"] < web["high"]
    # Documents fell into groups and splits at random: the random groups say about what the documents do.
    by_group = row(published.proportions(domains, groups), facet="domain", value="web", unit="documents")
    by_document = row(plain, facet="domain", value="web", unit="documents")
    width = by_document["high"] - by_document["low"]
    assert by_group["high"] - by_group["low"] == pytest.approx(width, rel=0.2)


def test_groups_of_values_in_the_remainder_are_added_up():
    small = corpus()
    domains, groups = small.domains(), small.cells("group", small.group)
    rare = pc.is_in(domains["value"], value_set=pa.array(["books", "code"]))
    rest = FacetTotals.of(domains.filter(rare), "domain")
    other = domains.filter(pc.equal(domains["value"], "web")).to_pylist()[0] | {"value": run_tables.OTHER_VALUES}
    other |= {name: int(column.sum()) for name, column in rest.totals.items()}
    other |= {f"sum_{unit}_squared": decimal.Decimal(int(s.sum())) for unit, s in rest.squares.items()}
    domains = pa.concat_tables([domains.filter(pc.invert(rare)), pa.Table.from_pylist([other], run_tables.DOMAINS)])
    remainder = row(
        published.proportions(domains, groups), facet="domain", value=run_tables.OTHER_VALUES, unit="tokens"
    )
    # The same documents with the two rare domains under one name.
    pooled = Corpus(np.where(small.domain == "web", "web", "rest").tolist(), small.tokens.tolist(), 1)
    pooled.group, pooled.cluster = small.group, small.cluster
    expected = row(
        published.proportions(pooled.domains(), pooled.cells("group", pooled.group)),
        facet="domain",
        value="rest",
        unit="tokens",
    )
    for name in ("count", "share", "low", "high", "low_simultaneous", "high_simultaneous"):
        assert remainder[name] == pytest.approx(expected[name]), name


def test_tables_that_do_not_fit_together_are_refused():
    small = corpus()
    domains = small.domains()
    groups = small.cells("group", small.cluster)
    with pytest.raises(StoreError, match="do not add up"):
        published.proportions(domains, groups.slice(1))
    with pytest.raises(StoreError, match="no row for"):
        published.proportions(domains.filter(pc.not_equal(domains["value"], "web")), groups)
    with pytest.raises(StoreError, match="disagree on the documents"):
        published.length_quantiles(small.lengths().slice(1), domains)


def test_mixture_distance():
    small = corpus()
    intended = {"web": 0.2, "code": 0.5, "patents": 0.3}
    distance = published.mixture_distance(small.domains(), intended)
    share = {name: small.tokens[small.domain == name].sum() / small.tokens.sum() for name in small.names}
    names = set(share) | set(intended)
    expected = sum(abs(share.get(name, 0) - intended.get(name, 0)) for name in names) / 2
    assert distance.value == pytest.approx(expected)
    assert 0 < distance.low < distance.value < distance.high < 1


def test_length_quantiles_and_means():
    small = corpus()
    table = published.length_quantiles(small.lengths(), small.domains())
    assert table.schema.equals(run_tables.LENGTH_QUANTILES, check_metadata=True)
    assert table["domain"].to_pylist()[::12] == ["(all)", "books", "code", "web"]
    for name in ["(all)", *small.names]:
        selected = np.full(len(small.domain), True) if name == "(all)" else small.domain == name
        for unit, sizes in (("tokens", small.tokens[selected]), ("characters", small.characters[selected])):
            median = row(table, domain=name, unit=unit, quantile=0.5)
            assert median["value"] == pytest.approx(np.quantile(sizes, 0.5, method="inverted_cdf"), rel=0.01)
            assert median["low"] <= median["value"] <= median["high"]
            assert median["mean"] == sizes.sum() / len(sizes)
            assert median["documents"] == len(sizes)


@pytest.mark.parametrize("overall", [False, True])
def test_vocabulary(overall):
    small = corpus()
    table = published.vocabulary(small.token_counts(), small.token_groups(overall), VOCABULARY_SIZE)
    assert table.schema.equals(run_tables.VOCABULARY, check_metadata=True)
    assert table["domain"].to_pylist() == ["(all)", "books", "code", "web"]
    for name in table["domain"].to_pylist():
        counts = small.counts if name == "(all)" else small.counts[small.domain == name]
        use = row(table, domain=name)
        assert use["tokens"] == counts.sum()
        assert use["types"] == np.count_nonzero(counts.sum(axis=0))
        assert use["coverage"] == use["types"] / VOCABULARY_SIZE
        assert use["effective"] == pytest.approx(np.exp(stats.entropy(counts.sum(axis=0))))
        assert use["effective_low"] < use["effective"] < use["effective_high"] <= VOCABULARY_SIZE


def test_overall_groups_give_the_same_bounds_for_all_as_groups_by_domain():
    small = corpus()
    by_domain = published.vocabulary(small.token_counts(), small.token_groups(), VOCABULARY_SIZE)
    overall = published.vocabulary(small.token_counts(), small.token_groups(overall=True), VOCABULARY_SIZE)
    for name in ("effective", "effective_low", "effective_high"):
        assert by_domain[name][0].as_py() == pytest.approx(overall[name][0].as_py(), rel=1e-9)
    without = published.vocabulary(small.token_counts(), run_tables.TOKEN_GROUPS.empty_table(), VOCABULARY_SIZE)
    assert without["effective_low"].to_pylist()[1:] == overall["effective_low"].to_pylist()[1:]
    assert without["effective_low"][0].as_py() < overall["effective_low"][0].as_py()


def test_chunks_and_dictionaries_do_not_matter():
    small = corpus()
    counts, groups = small.token_counts(), small.token_groups()

    def cut(table):
        # Every piece has a dictionary of its own, as row groups of a file do.
        pieces = [pa.Table.from_pylist(table.slice(i, 7).to_pylist(), table.schema) for i in range(0, len(table), 7)]
        return pa.concat_tables(pieces)

    expected = published.vocabulary(counts, groups, VOCABULARY_SIZE)
    assert published.vocabulary(cut(counts), cut(groups), VOCABULARY_SIZE).equals(expected)
    domains = small.domains()
    cut_domains = pa.concat_tables([domains.slice(i, 3) for i in range(0, len(domains), 3)])
    assert published.proportions(cut_domains).equals(published.proportions(domains))


def test_metrics():
    small = corpus()
    intended = {"web": 0.6, "code": 0.3, "books": 0.1}
    table = small.metrics(intended=intended)
    assert_ordered(table, run_tables.METRICS, ("metric", "ascending"), ("slice", "ascending"))
    pairs = list(zip(table["metric"].to_pylist(), table["slice"].to_pylist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    domains = small.domains()
    web = row(published.proportions(domains, None, intended), facet="domain", value="web", unit="tokens")
    share = row(table, metric="domain_share_tokens", slice="domain=web")
    assert (share["value"], share["low"], share["high"]) == (web["share"], web["low"], web["high"])
    assert share["n"] == small.tokens.sum()
    difference = row(table, metric="domain_share_difference_tokens", slice="domain=web")
    assert (difference["value"], difference["high"]) == (web["difference"], web["difference_high"])
    assert not any(metric == "domain_share_difference_bytes" for metric, _ in pairs)
    assert ("domain_share_documents", "host=h3") in pairs
    distance = row(table, metric="mixture_tvd_tokens", slice="all")
    assert distance["value"] == published.mixture_distance(domains, intended).value
    documents = len(small.domain)
    for name, total in (("documents", documents), ("tokens", small.tokens.sum()), ("bytes", small.characters.sum())):
        fact = row(table, metric=name, slice="all")
        assert fact["value"] == fact["low"] == fact["high"] == total
    assert row(table, metric="coverage_splits", slice="all")["value"] == 1
    assert row(table, metric="coverage_rows", slice="all")["value"] == (documents + 20) / (documents + 20)
    dead = row(table, metric="dead_letter_share", slice="all")
    assert dead["value"] == dead["low"] == dead["high"] == 6 / (documents + 20)
    assert row(table, metric="filtered_share", slice="reason=short")["value"] == 14 / (documents + 20)
    assert row(table, metric="length_p50_tokens", slice="domain=web")["n"] == (small.domain == "web").sum()
    mean = row(table, metric="length_mean_tokens", slice="all")
    expected = stats.t.interval(0.95, documents - 1, small.tokens.mean(), stats.sem(small.tokens))
    assert (mean["low"], mean["high"]) == pytest.approx(expected)
    copies = row(table, metric="duplicate_share_tokens", slice="domain=code")
    code = small.tokens[small.domain == "code"]
    reach = np.sqrt(np.log(40) / 2 * (code**2).sum()) / code.sum()
    assert copies["high"] == pytest.approx(copies["value"] + reach)
    across = row(table, metric="across_share_documents", slice="all")
    assert across["value"] == across["low"] == across["high"] == (documents // 20) / documents
    assert row(table, metric="vocabulary_coverage", slice="all")["n"] == VOCABULARY_SIZE
    assert row(table, metric="effective_vocabulary", slice="domain=web")["unit"] == "token ids"
    assert row(table, metric="verified_documents", slice="all")["value"] == 5


def test_a_sampled_audit_claims_less():
    table = corpus().metrics(counted=1)
    assert row(table, metric="coverage_splits", slice="all")["value"] == 2 / 8
    dead = row(table, metric="dead_letter_share", slice="all")
    assert dead["low"] < dead["value"] < dead["high"]
    for metric in ("duplicate_share_documents", "across_share_tokens"):
        copies = row(table, metric=metric, slice="all")
        assert copies["value"] is not None
        assert (copies["low"], copies["high"]) == (None, None)
    coverage = row(table, metric="vocabulary_coverage", slice="all")
    assert (coverage["low"], coverage["high"]) == (coverage["value"], None)


EDGES = {
    "no documents": Corpus([], []),
    "one document": Corpus(["web"], [30]),
    "one document without tokens": Corpus(["web"], [0]),
    "one domain": Corpus(["web"] * 50, [10] * 50),
    "a domain without tokens": Corpus(["web"] * 20 + ["empty"] * 5, [10] * 20 + [0] * 5),
    "no tokens": Corpus(["web", "code"], [0, 0]),
}


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("intended", [None, {"web": 0.5, "patents": 0.5}])
def test_edges(name, intended):
    small = EDGES[name]
    domains = small.domains()
    shares = published.proportions(domains, None, intended)
    order = [("facet", "ascending"), ("unit", "ascending"), ("count", "descending"), ("value", "ascending")]
    assert_ordered(shares, run_tables.PROPORTIONS, *order)
    vocabulary = published.vocabulary(small.token_counts(), small.token_groups(), VOCABULARY_SIZE)
    assert_ordered(vocabulary, run_tables.VOCABULARY)
    assert_ordered(published.length_quantiles(small.lengths(), domains), run_tables.LENGTH_QUANTILES)
    table = small.metrics(intended=intended)
    assert_ordered(table, run_tables.METRICS, ("metric", "ascending"), ("slice", "ascending"))
    assert row(table, metric="documents", slice="all")["value"] == len(small.domain)
    has_tokens = bool(small.tokens.sum())
    assert bool(pc.sum(pc.equal(shares["unit"], "tokens")).as_py()) == has_tokens
    assert (vocabulary.num_rows > 0) == has_tokens
    assert (published.mixture_distance(domains, {"web": 1.0}) is not None) == has_tokens
    if not small.names:
        assert row(table, metric="length_mean_tokens", slice="all")["value"] is None


@given(st.lists(st.integers(0, 2**126), max_size=20))
def test_wide_integers_are_read_from_their_buffers(values):
    # decimal128(38, 0) ends at 10^38 - 1.
    values = [value % 10**38 for value in values]
    with decimal.localcontext(prec=50):
        column = pa.array([decimal.Decimal(value) for value in values], run_tables.WIDE)
    chunked = pa.chunked_array([column[:3], column[3:5], column[5:]], run_tables.WIDE)
    assert wide_integers(chunked).tolist() == values


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 200)), min_size=1, max_size=25))
def test_any_small_corpus_gives_whole_tables(documents):
    small = Corpus([d for d, _ in documents], [n for _, n in documents])
    table = small.metrics(intended={"a": 0.5, "z": 0.5})
    assert_ordered(table, run_tables.METRICS, ("metric", "ascending"), ("slice", "ascending"))
    for fact in table.to_pylist():
        if fact["value"] is None:
            assert fact["low"] is None
            assert fact["high"] is None
        else:
            assert fact["low"] is None or fact["low"] <= fact["value"] + 1e-9
            assert fact["high"] is None or fact["high"] >= fact["value"] - 1e-9


def test_counters_past_53_bits():
    wide = decimal.Decimal(10**36)
    rows = [
        {"domain": "web", "token": t, "count": 2**60 + 1, "documents": 2, "sum_squared": wide, "sum_product": 2 * wide}
        for t in (3, 4)
    ]
    with decimal.localcontext(prec=50):
        counts = pa.Table.from_pylist(rows, run_tables.TOKEN_COUNTS)
    table = published.vocabulary(counts, run_tables.TOKEN_GROUPS.empty_table(), VOCABULARY_SIZE)
    assert table["tokens"].to_pylist() == [2**61 + 2, 2**61 + 2]
    assert table["effective"].to_pylist() == pytest.approx([2, 2])
