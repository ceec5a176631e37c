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
from corpus_audit.pipelines.statistics.intervals.lengths import bucket_edges, bucket_index
from corpus_audit.pipelines.statistics.intervals.proportions import share_intervals
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables import run_tables

VOCABULARY_SIZE = 50


class Corpus:
    """Documents as arrays, and the integer tables that a profile would hold."""

    def __init__(self, domain, tokens, seed=0):
        self.domain = np.array(domain, dtype=object)
        rng = np.random.default_rng(seed)
        zipf = 1 / np.arange(1, 41)
        self.counts = np.array([rng.multinomial(n, zipf / zipf.sum()) for n in tokens], dtype=np.int64)
        self.counts = self.counts.reshape(len(tokens), 40)
        self.tokens = np.array(tokens, dtype=np.int64)
        self.characters = self.tokens * 5 + 1
        self.group = rng.integers(0, 64, len(tokens))
        self.cluster = rng.integers(0, 1024, len(tokens))
        self.split = np.arange(len(tokens)) * 4 // max(len(tokens), 1)
        self.names = sorted(set(domain))

    def domains(self):
        rows = []
        for facet, of in (("domain", self.domain), ("host", np.array([f"h{g}" for g in self.group], dtype=object))):
            found = [self._row(facet, name, of == name) for name in sorted(set(of))]
            rows += sorted(found, key=lambda row: (-row["tokens"], row["value"]))
        return pa.Table.from_pylist(rows, run_tables.DOMAINS)

    def _row(self, facet, name, chosen):
        size, tokens = self.characters[chosen], self.tokens[chosen]
        return {
            "facet": facet,
            "value": name,
            "documents": int(chosen.sum()),
            "clusters": int(chosen.sum()),
            "bytes": int(size.sum()),
            "characters": int(size.sum()),
            "words": int(tokens.sum()),
            "tokens": int(tokens.sum()),
            "sum_bytes_squared": decimal.Decimal(int((size**2).sum())),
            "sum_tokens_squared": decimal.Decimal(int((tokens**2).sum())),
        }

    def cells(self, key, number):
        rows = []
        for facet, of in (("domain", self.domain), ("host", np.array([f"h{g}" for g in self.group], dtype=object))):
            for name, group in sorted(set(zip(of, number.tolist(), strict=True))):
                row = self._row(facet, name, (of == name) & (number == group))
                rows.append({"facet": facet, "value": name, key: group} | {u: row[u] for u in published.UNITS})
        schema = pa.schema([f.with_name(key) if f.name == "group" else f for f in run_tables.CLUSTER_GROUPS])
        return pa.Table.from_pylist(rows, schema)

    def lengths(self):
        edges, rows = bucket_edges(), []
        for name in self.names:
            for unit, sizes in (("characters", self.characters), ("tokens", self.tokens)):
                found, documents = np.unique(bucket_index(sizes[self.domain == name]), return_counts=True)
                for bucket, count in zip(found.tolist(), documents.tolist(), strict=True):
                    low, high = int(edges[bucket]), int(edges[bucket + 1]) - 1
                    rows.append({"domain": name, "unit": unit, "low": low, "high": high, "documents": count})
        return pa.Table.from_pylist(rows, run_tables.LENGTHS)

    def duplicates(self):
        rows = []
        for name in [run_tables.ALL_DOMAINS, *self.names]:
            chosen = np.full(len(self.domain), True) if name == run_tables.ALL_DOMAINS else self.domain == name
            documents, tokens = int(chosen.sum()), int(self.tokens[chosen].sum())
            repeated, repeated_tokens = documents // 10, tokens // 10
            rows.append(
                {
                    "domain": name,
                    "documents": documents,
                    "distinct": documents - repeated,
                    "duplicate_documents": repeated,
                    "across_documents": documents // 20,
                    "tokens": tokens,
                    "distinct_tokens": tokens - repeated_tokens,
                    "duplicate_tokens": repeated_tokens,
                    "across_tokens": tokens // 20,
                }
            )
        return pa.Table.from_pylist(rows, run_tables.DUPLICATES)

    def token_counts(self):
        rows = []
        for name in self.names:
            counts, lengths = self.counts[self.domain == name], self.tokens[self.domain == name]
            for token in np.flatnonzero(counts.sum(axis=0)).tolist():
                y = counts[:, token]
                rows.append(
                    {
                        "domain": name,
                        "token": token,
                        "count": int(y.sum()),
                        "documents": int(np.count_nonzero(y)),
                        "sum_squared": decimal.Decimal(int((y * y).sum())),
                        "sum_product": decimal.Decimal(int((y * lengths).sum())),
                    }
                )
        return pa.Table.from_pylist(rows, run_tables.TOKEN_COUNTS)

    def token_groups(self, overall=False):
        rows = []
        for name in [run_tables.ALL_DOMAINS] if overall else self.names:
            chosen = np.full(len(self.domain), True) if overall else self.domain == name
            table = np.zeros((64, 40), dtype=np.int64)
            np.add.at(table, self.group[chosen], self.counts[chosen])
            for token in np.flatnonzero(table.sum(axis=0)).tolist():
                groups = np.flatnonzero(table[:, token]).tolist()
                mask = sum(1 << g for g in groups)
                rows.append({"domain": name, "token": token, "groups": mask, "counts": table[groups, token].tolist()})
        return pa.Table.from_pylist(rows, run_tables.TOKEN_GROUPS)

    def shards(self, counted=4):
        rows = len(self.domain) + 10
        found = {
            "shard": "a",
            "sha256": "00",
            "bytes": 1000,
            "format": "jsonl",
            "status": "read",
            "copies": 1,
            "splits": 4,
            "splits_counted": counted,
            "rows": rows,
            "documents": len(self.domain),
            "dead_letters": 3,
            "filtered": 7,
            "nul_documents": 0,
            "error": None,
        }
        # A second shard of half the size, with the same mistakes.
        return pa.Table.from_pylist([found, found | {"shard": "b", "rows": 10, "documents": 0}], run_tables.SHARDS)

    def outcomes(self):
        rows = [
            {"outcome": "dead_letter", "reason": "not_json", "rows": 6},
            {"outcome": "document", "reason": "", "rows": len(self.domain)},
            {"outcome": "filtered", "reason": "short", "rows": 14},
        ]
        return pa.Table.from_pylist(rows, run_tables.OUTCOMES)

    def metrics(self, counted=4, intended=None):
        domains = self.domains()
        return published.metrics(
            domains=domains,
            proportions=published.proportions(domains, None, intended),
            length_quantiles=published.length_quantiles(self.lengths(), domains),
            duplicates=self.duplicates(),
            vocabulary=published.vocabulary(self.token_counts(), self.token_groups(), VOCABULARY_SIZE),
            vocabulary_size=VOCABULARY_SIZE,
            shards=self.shards(counted),
            outcomes=self.outcomes(),
            verified_documents=5,
            mixture=published.mixture_distance(domains, intended) if intended else None,
        )


def corpus(documents=400, seed=1):
    rng = np.random.default_rng(seed)
    domain = rng.choice(["web", "code", "books"], documents, p=[0.6, 0.3, 0.1]).tolist()
    return Corpus(domain, (rng.lognormal(4, 0.6, documents).astype(int) + 1).tolist(), seed)


def row(table, **wanted):
    for name, value in wanted.items():
        table = table.filter(pc.equal(table[name], value))
    assert table.num_rows == 1, (wanted, table.num_rows)
    return table.to_pylist()[0]


def assert_ordered(table, schema, *order):
    assert table.schema.equals(schema, check_metadata=True)
    table.validate(full=True)
    if order:
        assert table.sort_by(list(order)).equals(table)
    for name in table.schema.names:
        if not table.schema.field(name).nullable:
            assert table[name].null_count == 0
        if table.schema.field(name).type == pa.float64():
            assert not pc.any(pc.is_nan(table[name])).as_py()


def test_shares_are_those_of_the_documents():
    made = corpus()
    found = published.proportions(made.domains(), None, {"web": 0.5, "code": 0.5})
    order = [("facet", "ascending"), ("unit", "ascending"), ("count", "descending"), ("value", "ascending")]
    assert_ordered(found, run_tables.PROPORTIONS, *order)
    web = row(found, facet="domain", value="web", unit="tokens")
    y = made.tokens * (made.domain == "web")
    assert (web["count"], web["total"]) == (y.sum(), made.tokens.sum())
    assert web["share"] == y.sum() / made.tokens.sum()
    assert web["difference"] == pytest.approx(web["share"] - 0.5)
    assert web["difference_low"] == pytest.approx(web["low"] - 0.5)
    assert web["method"] == "Korn-Graubard, documents"
    assert row(found, facet="domain", value="books", unit="tokens")["intended"] == 0
    assert row(found, facet="domain", value="web", unit="bytes")["intended"] is None
    assert pc.all(pc.is_null(found.filter(pc.equal(found["facet"], "host"))["intended"])).as_py()
    design = DocumentClusters(
        np.array([y.sum(), made.tokens.sum() - y.sum()]),
        np.array([int((y**2).sum()), int((made.tokens**2).sum() - (y**2).sum())], dtype=object),
        len(y),
    )
    assert web["low"] == pytest.approx(share_intervals(design).low[0])


def test_an_intended_domain_that_is_absent_has_a_row_with_an_upper_bound():
    found = published.proportions(corpus().domains(), None, {"web": 0.9, "patents": 0.1})
    for unit in published.UNITS:
        patents = row(found, facet="domain", value="patents", unit=unit)
        assert (patents["count"], patents["share"], patents["low"], patents["clusters"]) == (0, 0, 0, 0)
        assert 0 < patents["high"] < 0.05
    patents = row(found, value="patents", unit="tokens")
    assert patents["difference"] == pytest.approx(-0.1)
    assert patents["difference_high"] < 0


def test_the_remainder_takes_the_intended_shares_of_values_without_a_row():
    domains = corpus().domains()
    renamed = pc.if_else(pc.equal(domains["value"], "books"), run_tables.OTHER_VALUES, domains["value"])
    domains = domains.set_column(1, run_tables.DOMAINS.field("value"), renamed)
    found = published.proportions(domains, None, {"web": 0.8, "books": 0.15, "patents": 0.05})
    other = row(found, facet="domain", value=run_tables.OTHER_VALUES, unit="tokens")
    assert other["intended"] == pytest.approx(0.2)
    assert pc.sum(pc.equal(found["value"], "patents")).as_py() == 0
    quantiles = published.length_quantiles(corpus().lengths(), domains)
    assert row(quantiles, domain=run_tables.OTHER_VALUES, unit="tokens", quantile=0.5)["documents"] > 0


def test_cluster_groups_and_splits_change_the_method_and_not_the_share():
    made = corpus()
    domains = made.domains()
    groups = made.cells("group", made.cluster)
    sampling = published.SampledSplits(made.cells("split", made.split), read=4, planned=16)
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
    made = corpus()
    domains, groups = made.domains(), made.cells("group", made.group)
    rare = pc.is_in(domains["value"], value_set=pa.array(["books", "code"]))
    rest = FacetTotals.of(domains.filter(rare), "domain")
    other = domains.filter(pc.equal(domains["value"], "web")).to_pylist()[0] | {"value": run_tables.OTHER_VALUES}
    other |= {name: int(column.sum()) for name, column in rest.totals.items()}
    other |= {f"sum_{unit}_squared": decimal.Decimal(int(s.sum())) for unit, s in rest.squares.items()}
    domains = pa.concat_tables([domains.filter(pc.invert(rare)), pa.Table.from_pylist([other], run_tables.DOMAINS)])
    found = row(published.proportions(domains, groups), facet="domain", value=run_tables.OTHER_VALUES, unit="tokens")
    # The same documents with the two rare domains under one name.
    pooled = Corpus(np.where(made.domain == "web", "web", "rest").tolist(), made.tokens.tolist(), 1)
    pooled.group, pooled.cluster = made.group, made.cluster
    expected = row(
        published.proportions(pooled.domains(), pooled.cells("group", pooled.group)),
        facet="domain",
        value="rest",
        unit="tokens",
    )
    for name in ("count", "share", "low", "high", "low_simultaneous", "high_simultaneous"):
        assert found[name] == pytest.approx(expected[name]), name


def test_tables_that_do_not_fit_together_are_refused():
    made = corpus()
    domains = made.domains()
    groups = made.cells("group", made.cluster)
    with pytest.raises(StoreError, match="do not add up"):
        published.proportions(domains, groups.slice(1))
    with pytest.raises(StoreError, match="no row for"):
        published.proportions(domains.filter(pc.not_equal(domains["value"], "web")), groups)
    with pytest.raises(StoreError, match="disagree on the documents"):
        published.length_quantiles(made.lengths().slice(1), domains)


def test_mixture_distance():
    made = corpus()
    intended = {"web": 0.2, "code": 0.5, "patents": 0.3}
    found = published.mixture_distance(made.domains(), intended)
    share = {name: made.tokens[made.domain == name].sum() / made.tokens.sum() for name in made.names}
    names = set(share) | set(intended)
    expected = sum(abs(share.get(name, 0) - intended.get(name, 0)) for name in names) / 2
    assert found.value == pytest.approx(expected)
    assert 0 < found.low < found.value < found.high < 1


def test_length_quantiles_and_means():
    made = corpus()
    found = published.length_quantiles(made.lengths(), made.domains())
    assert found.schema.equals(run_tables.LENGTH_QUANTILES, check_metadata=True)
    assert found["domain"].to_pylist()[::12] == ["(all)", "books", "code", "web"]
    for name in ["(all)", *made.names]:
        chosen = np.full(len(made.domain), True) if name == "(all)" else made.domain == name
        for unit, sizes in (("tokens", made.tokens[chosen]), ("characters", made.characters[chosen])):
            median = row(found, domain=name, unit=unit, quantile=0.5)
            assert median["value"] == pytest.approx(np.quantile(sizes, 0.5, method="inverted_cdf"), rel=0.01)
            assert median["low"] <= median["value"] <= median["high"]
            assert median["mean"] == sizes.sum() / len(sizes)
            assert median["documents"] == len(sizes)


@pytest.mark.parametrize("overall", [False, True])
def test_vocabulary(overall):
    made = corpus()
    found = published.vocabulary(made.token_counts(), made.token_groups(overall), VOCABULARY_SIZE)
    assert found.schema.equals(run_tables.VOCABULARY, check_metadata=True)
    assert found["domain"].to_pylist() == ["(all)", "books", "code", "web"]
    for name in found["domain"].to_pylist():
        counts = made.counts if name == "(all)" else made.counts[made.domain == name]
        use = row(found, domain=name)
        assert use["tokens"] == counts.sum()
        assert use["types"] == np.count_nonzero(counts.sum(axis=0))
        assert use["coverage"] == use["types"] / VOCABULARY_SIZE
        assert use["effective"] == pytest.approx(np.exp(stats.entropy(counts.sum(axis=0))))
        assert use["effective_low"] < use["effective"] < use["effective_high"] <= VOCABULARY_SIZE


def test_overall_groups_give_the_same_bounds_for_all_as_groups_by_domain():
    made = corpus()
    by_domain = published.vocabulary(made.token_counts(), made.token_groups(), VOCABULARY_SIZE)
    overall = published.vocabulary(made.token_counts(), made.token_groups(overall=True), VOCABULARY_SIZE)
    for name in ("effective", "effective_low", "effective_high"):
        assert by_domain[name][0].as_py() == pytest.approx(overall[name][0].as_py(), rel=1e-9)
    without = published.vocabulary(made.token_counts(), run_tables.TOKEN_GROUPS.empty_table(), VOCABULARY_SIZE)
    assert without["effective_low"].to_pylist()[1:] == overall["effective_low"].to_pylist()[1:]
    assert without["effective_low"][0].as_py() < overall["effective_low"][0].as_py()


def test_chunks_and_dictionaries_do_not_matter():
    made = corpus()
    counts, groups = made.token_counts(), made.token_groups()

    def cut(table):
        # Every piece has a dictionary of its own, as row groups of a file do.
        pieces = [pa.Table.from_pylist(table.slice(i, 7).to_pylist(), table.schema) for i in range(0, len(table), 7)]
        return pa.concat_tables(pieces)

    whole = published.vocabulary(counts, groups, VOCABULARY_SIZE)
    assert published.vocabulary(cut(counts), cut(groups), VOCABULARY_SIZE).equals(whole)
    domains = made.domains()
    cut_domains = pa.concat_tables([domains.slice(i, 3) for i in range(0, len(domains), 3)])
    assert published.proportions(cut_domains).equals(published.proportions(domains))


def test_metrics():
    made = corpus()
    intended = {"web": 0.6, "code": 0.3, "books": 0.1}
    found = made.metrics(intended=intended)
    assert_ordered(found, run_tables.METRICS, ("metric", "ascending"), ("slice", "ascending"))
    pairs = list(zip(found["metric"].to_pylist(), found["slice"].to_pylist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    domains = made.domains()
    web = row(published.proportions(domains, None, intended), facet="domain", value="web", unit="tokens")
    share = row(found, metric="domain_share_tokens", slice="domain=web")
    assert (share["value"], share["low"], share["high"]) == (web["share"], web["low"], web["high"])
    assert share["n"] == made.tokens.sum()
    difference = row(found, metric="domain_share_difference_tokens", slice="domain=web")
    assert (difference["value"], difference["high"]) == (web["difference"], web["difference_high"])
    assert not any(metric == "domain_share_difference_bytes" for metric, _ in pairs)
    assert ("domain_share_documents", "host=h3") in pairs
    distance = row(found, metric="mixture_tvd_tokens", slice="all")
    assert distance["value"] == published.mixture_distance(domains, intended).value
    documents = len(made.domain)
    for name, total in (("documents", documents), ("tokens", made.tokens.sum()), ("bytes", made.characters.sum())):
        fact = row(found, metric=name, slice="all")
        assert fact["value"] == fact["low"] == fact["high"] == total
    assert row(found, metric="coverage_splits", slice="all")["value"] == 1
    assert row(found, metric="coverage_rows", slice="all")["value"] == (documents + 20) / (documents + 20)
    dead = row(found, metric="dead_letter_share", slice="all")
    assert dead["value"] == dead["low"] == dead["high"] == 6 / (documents + 20)
    assert row(found, metric="filtered_share", slice="reason=short")["value"] == 14 / (documents + 20)
    assert row(found, metric="length_p50_tokens", slice="domain=web")["n"] == (made.domain == "web").sum()
    mean = row(found, metric="length_mean_tokens", slice="all")
    expected = stats.t.interval(0.95, documents - 1, made.tokens.mean(), stats.sem(made.tokens))
    assert (mean["low"], mean["high"]) == pytest.approx(expected)
    copies = row(found, metric="duplicate_share_tokens", slice="domain=code")
    code = made.tokens[made.domain == "code"]
    reach = np.sqrt(np.log(40) / 2 * (code**2).sum()) / code.sum()
    assert copies["high"] == pytest.approx(copies["value"] + reach)
    across = row(found, metric="across_share_documents", slice="all")
    assert across["value"] == across["low"] == across["high"] == (documents // 20) / documents
    assert row(found, metric="vocabulary_coverage", slice="all")["n"] == VOCABULARY_SIZE
    assert row(found, metric="effective_vocabulary", slice="domain=web")["unit"] == "token ids"
    assert row(found, metric="verified_documents", slice="all")["value"] == 5


def test_a_sampled_audit_claims_less():
    found = corpus().metrics(counted=1)
    assert row(found, metric="coverage_splits", slice="all")["value"] == 2 / 8
    dead = row(found, metric="dead_letter_share", slice="all")
    assert dead["low"] < dead["value"] < dead["high"]
    for metric in ("duplicate_share_documents", "across_share_tokens"):
        copies = row(found, metric=metric, slice="all")
        assert copies["value"] is not None
        assert (copies["low"], copies["high"]) == (None, None)
    coverage = row(found, metric="vocabulary_coverage", slice="all")
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
    made = EDGES[name]
    domains = made.domains()
    shares = published.proportions(domains, None, intended)
    order = [("facet", "ascending"), ("unit", "ascending"), ("count", "descending"), ("value", "ascending")]
    assert_ordered(shares, run_tables.PROPORTIONS, *order)
    vocabulary = published.vocabulary(made.token_counts(), made.token_groups(), VOCABULARY_SIZE)
    assert_ordered(vocabulary, run_tables.VOCABULARY)
    assert_ordered(published.length_quantiles(made.lengths(), domains), run_tables.LENGTH_QUANTILES)
    found = made.metrics(intended=intended)
    assert_ordered(found, run_tables.METRICS, ("metric", "ascending"), ("slice", "ascending"))
    assert row(found, metric="documents", slice="all")["value"] == len(made.domain)
    has_tokens = bool(made.tokens.sum())
    assert bool(pc.sum(pc.equal(shares["unit"], "tokens")).as_py()) == has_tokens
    assert (vocabulary.num_rows > 0) == has_tokens
    assert (published.mixture_distance(domains, {"web": 1.0}) is not None) == has_tokens
    if not made.names:
        assert row(found, metric="length_mean_tokens", slice="all")["value"] is None


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
    made = Corpus([d for d, _ in documents], [n for _, n in documents])
    found = made.metrics(intended={"a": 0.5, "z": 0.5})
    assert_ordered(found, run_tables.METRICS, ("metric", "ascending"), ("slice", "ascending"))
    for fact in found.to_pylist():
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
    found = published.vocabulary(counts, run_tables.TOKEN_GROUPS.empty_table(), VOCABULARY_SIZE)
    assert found["tokens"].to_pylist() == [2**61 + 2, 2**61 + 2]
    assert found["effective"].to_pylist() == pytest.approx([2, 2])
