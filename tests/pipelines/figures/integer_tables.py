"""The integer tables that a profile of a small random corpus has, for tests of figures."""

import decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.figures import published
from corpus_audit.pipelines.statistics.intervals.lengths import bucket_edges, bucket_index
from corpus_audit.schemas.tables import coverage_tables, run_tables

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
            rows_of_facet = [self._row(facet, name, of == name) for name in sorted(set(of))]
            rows += sorted(rows_of_facet, key=lambda row: (-row["tokens"], row["value"]))
        return pa.Table.from_pylist(rows, run_tables.DOMAINS)

    def _row(self, facet, name, selected):
        size, tokens = self.characters[selected], self.tokens[selected]
        return {
            "facet": facet,
            "value": name,
            "documents": int(selected.sum()),
            "clusters": int(selected.sum()),
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
                buckets, documents = np.unique(bucket_index(sizes[self.domain == name]), return_counts=True)
                for bucket, count in zip(buckets.tolist(), documents.tolist(), strict=True):
                    low, high = int(edges[bucket]), int(edges[bucket + 1]) - 1
                    rows.append({"domain": name, "unit": unit, "low": low, "high": high, "documents": count})
        return pa.Table.from_pylist(rows, run_tables.LENGTHS)

    def duplicates(self):
        rows = []
        for name in [run_tables.ALL_DOMAINS, *self.names]:
            selected = np.full(len(self.domain), True) if name == run_tables.ALL_DOMAINS else self.domain == name
            documents, tokens = int(selected.sum()), int(self.tokens[selected].sum())
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
            selected = np.full(len(self.domain), True) if overall else self.domain == name
            table = np.zeros((64, 40), dtype=np.int64)
            np.add.at(table, self.group[selected], self.counts[selected])
            for token in np.flatnonzero(table.sum(axis=0)).tolist():
                groups = np.flatnonzero(table[:, token]).tolist()
                mask = sum(1 << g for g in groups)
                rows.append({"domain": name, "token": token, "groups": mask, "counts": table[groups, token].tolist()})
        return pa.Table.from_pylist(rows, run_tables.TOKEN_GROUPS)

    def shards(self, counted=4):
        rows = len(self.domain) + 10
        shard = {
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
        return pa.Table.from_pylist([shard, shard | {"shard": "b", "rows": 10, "documents": 0}], coverage_tables.SHARDS)

    def outcomes(self):
        rows = [
            {"outcome": "dead_letter", "reason": "not_json", "rows": 6},
            {"outcome": "document", "reason": "", "rows": len(self.domain)},
            {"outcome": "filtered", "reason": "short", "rows": 14},
        ]
        return pa.Table.from_pylist(rows, coverage_tables.OUTCOMES)

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


def row(table, **values):
    for name, value in values.items():
        table = table.filter(pc.equal(table[name], value))
    assert table.num_rows == 1, (values, table.num_rows)
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
