"""Arrow schemas of the tables that a run publishes, one Parquet file each, units in the field metadata.

Tables hold integers (exact, byte-identical for any workers, sharding, engine or CPU) or figures derived from them once.
Row order is stated with each schema.
"""

from __future__ import annotations

import pyarrow as pa

WIDE = pa.decimal128(38, 0)
"""Second moments: the sum of squared token counts of 10 PB of text is past int64."""

DOMAIN = pa.dictionary(pa.int32(), pa.string())


def _field(name: str, type_: pa.DataType, about: str, unit: str = "", nullable: bool = False) -> pa.Field:
    metadata = {"description": about} | ({"unit": unit} if unit else {})
    return pa.field(name, type_, nullable=nullable, metadata=metadata)


DOMAINS = pa.schema(
    [
        _field("facet", pa.string(), "the facet; the primary one is named in run.json"),
        _field("value", pa.string(), "the facet's value; empty and null values count as (none)"),
        _field("documents", pa.int64(), "documents counted", "documents"),
        _field("clusters", pa.int64(), "distinct cluster keys (documents, if no cluster field is set)", "clusters"),
        _field("bytes", pa.int64(), "bytes of UTF-8 text", "bytes"),
        _field("characters", pa.int64(), "code points", "characters"),
        _field("words", pa.int64(), "maximal runs of code points that are not White_Space", "words"),
        _field("tokens", pa.int64(), "tokens without special tokens", "tokens"),
        _field("sum_bytes_squared", WIDE, "sum over documents of bytes^2", "bytes^2"),
        _field("sum_tokens_squared", WIDE, "sum over documents of tokens^2", "tokens^2"),
    ],
    metadata={"title": "What is in the corpus, by every facet", "order": "facet, tokens descending, value"},
)
"""Facets with more than 10,000 values end in one row whose value is OTHER_VALUES and holds the exact remainder."""

OTHER_VALUES = "(all other values)"
NO_VALUE = "(none)"

CLUSTER_GROUPS = pa.schema(
    [
        _field("facet", pa.string(), "the facet"),
        _field("value", pa.string(), "the facet's value"),
        _field("group", pa.int32(), "hash group of the cluster key, 0 to 1023"),
        _field("documents", pa.int64(), "documents counted", "documents"),
        _field("bytes", pa.int64(), "bytes of UTF-8 text", "bytes"),
        _field("tokens", pa.int64(), "tokens", "tokens"),
    ],
    metadata={"title": "Totals by hash group of the cluster key", "order": "facet, value, group"},
)
"""Written only when a cluster field is set: the groups of the random-groups variance."""

PROPORTIONS = pa.schema(
    [
        _field("facet", pa.string(), "the facet"),
        _field("value", pa.string(), "the facet's value"),
        _field("unit", pa.string(), "documents, bytes or tokens"),
        _field("count", pa.int64(), "the value's total in that unit", "unit"),
        _field("total", pa.int64(), "the corpus total in that unit", "unit"),
        _field("clusters", pa.int64(), "clusters that hold the value", "clusters"),
        _field("share", pa.float64(), "count / total", "share"),
        _field("low", pa.float64(), "lower 95 % bound of the share", "share", nullable=True),
        _field("high", pa.float64(), "upper 95 % bound of the share", "share", nullable=True),
        _field("low_simultaneous", pa.float64(), "lower bound, 95 % jointly for all values", "share", nullable=True),
        _field("high_simultaneous", pa.float64(), "upper bound, 95 % jointly for all values", "share", nullable=True),
        _field("method", pa.string(), "how the interval was made"),
        _field("intended", pa.float64(), "the intended share, where one was given", "share", nullable=True),
        _field("difference", pa.float64(), "share - intended", "share", nullable=True),
        _field("difference_low", pa.float64(), "lower 95 % bound of the difference", "share", nullable=True),
        _field("difference_high", pa.float64(), "upper 95 % bound of the difference", "share", nullable=True),
    ],
    metadata={"title": "Shares with design-based intervals", "order": "facet, unit, count descending, value"},
)

LENGTHS = pa.schema(
    [
        _field("domain", pa.string(), "value of the primary facet"),
        _field("unit", pa.string(), "characters or tokens"),
        _field("low", pa.int64(), "smallest length in the bucket", "unit"),
        _field("high", pa.int64(), "largest length in the bucket", "unit"),
        _field("documents", pa.int64(), "documents whose length is in the bucket", "documents"),
    ],
    metadata={"title": "Document lengths, log buckets of 1 % relative error", "order": "domain, unit, low"},
)

LENGTH_QUANTILES = pa.schema(
    [
        _field("domain", pa.string(), "value of the primary facet, or (all)"),
        _field("unit", pa.string(), "characters or tokens"),
        _field("quantile", pa.float64(), "0.05, 0.25, 0.5, 0.75, 0.95, 0.99"),
        _field("value", pa.float64(), "the length, within 1 % of the exact one", "unit"),
        _field("low", pa.float64(), "lower 95 % bound (order statistics)", "unit", nullable=True),
        _field("high", pa.float64(), "upper 95 % bound (order statistics)", "unit", nullable=True),
        _field("documents", pa.int64(), "documents in the domain", "documents"),
        _field("mean", pa.float64(), "exact mean length", "unit"),
    ],
    metadata={"title": "Length quantiles by domain", "order": "domain ((all) first), unit, quantile"},
)

ALL_DOMAINS = "(all)"

DUPLICATES = pa.schema(
    [
        _field("domain", pa.string(), "value of the primary facet, or (all)"),
        _field("documents", pa.int64(), "documents", "documents"),
        _field("distinct", pa.int64(), "distinct texts within the domain", "documents"),
        _field("duplicate_documents", pa.int64(), "documents - distinct", "documents"),
        _field("across_documents", pa.int64(), "documents whose text occurs in another domain too", "documents"),
        _field("tokens", pa.int64(), "tokens", "tokens"),
        _field("distinct_tokens", pa.int64(), "tokens of the distinct texts", "tokens"),
        _field("duplicate_tokens", pa.int64(), "tokens - distinct_tokens", "tokens"),
        _field("across_tokens", pa.int64(), "tokens of documents whose text occurs in another domain too", "tokens"),
    ],
    metadata={"title": "Exact duplicates", "order": "domain ((all) first)"},
)

DOCUMENT_HASHES = pa.schema(
    [
        _field("hash", pa.binary(16), "BLAKE2b-128 of the text's UTF-8 bytes"),
        _field("domain", DOMAIN, "value of the primary facet"),
        _field("documents", pa.int64(), "documents with this text in this domain", "documents"),
        _field("tokens", pa.int64(), "tokens of one of them", "tokens"),
    ],
    metadata={"title": "Every distinct text by domain", "order": "hash, domain"},
)

TOKEN_COUNTS = pa.schema(
    [
        _field("domain", DOMAIN, "value of the primary facet"),
        _field("token", pa.int32(), "token id"),
        _field("count", pa.int64(), "occurrences Y", "tokens"),
        _field("documents", pa.int64(), "documents that hold it", "documents"),
        _field("sum_squared", WIDE, "sum over documents of y^2", "tokens^2"),
        _field("sum_product", WIDE, "sum over documents of y * n, n the document's tokens", "tokens^2"),
    ],
    metadata={"title": "Document-clustered token counters", "order": "domain, token"},
)

TOKEN_GROUPS = pa.schema(
    [
        _field("domain", DOMAIN, "value of the primary facet, or (all) where groups are kept overall"),
        _field("token", pa.int32(), "token id"),
        _field("groups", pa.uint64(), "bit g is set when hash group g holds the token"),
        _field("counts", pa.list_(pa.int64()), "occurrences in each set group, ascending", "tokens"),
    ],
    metadata={"title": "Token counts by 64 hash groups of documents", "order": "domain, token"},
)

TOKEN_EXAMPLES = pa.schema(
    [
        _field("token", pa.int32(), "token id"),
        _field("hash", pa.binary(16), "content hash of the document of lowest hash that holds the token"),
        _field("domain", DOMAIN, "that document's domain"),
        _field("id", pa.string(), "that document's id, where the corpus has ids", nullable=True),
    ],
    metadata={"title": "One example document a token", "order": "token"},
)

MINHASH = pa.schema(
    [
        _field("hash", pa.binary(16), "content hash"),
        _field("domain", DOMAIN, "value of the primary facet"),
        _field("documents", pa.int64(), "documents with this text in this domain", "documents"),
        _field("tokens", pa.int64(), "tokens of one of them", "tokens"),
        _field("signature", pa.binary(512), "128 MinHash values, uint32 little-endian"),
    ],
    metadata={"title": "MinHash signatures of the near-duplicate sample", "order": "hash, domain"},
)

SAMPLES = pa.schema(
    [
        _field("domain", DOMAIN, "value of the primary facet"),
        _field("hash", pa.binary(16), "content hash; the lowest of the domain are kept"),
        _field("documents", pa.int64(), "documents with this text in this domain", "documents"),
        _field("tokens", pa.int64(), "tokens of one of them", "tokens"),
        _field("excerpt", pa.string(), "the beginning of the text, if excerpts are on", nullable=True),
        _field("buckets", pa.list_(pa.int16()), "hashed token n-grams, ascending"),
        _field("counts", pa.list_(pa.int32()), "occurrences of each"),
    ],
    metadata={"title": "Hashed n-gram vectors of the documents of lowest hash", "order": "domain, hash"},
)

VOCABULARY = pa.schema(
    [
        _field("domain", pa.string(), "value of the primary facet, or (all)"),
        _field("tokens", pa.int64(), "tokens", "tokens"),
        _field("types", pa.int64(), "distinct token ids that occur", "token ids"),
        _field("coverage", pa.float64(), "types / vocabulary size", "share"),
        _field("effective", pa.float64(), "exp of the token distribution's entropy", "token ids"),
        _field("effective_low", pa.float64(), "lower 95 % bound", "token ids", nullable=True),
        _field("effective_high", pa.float64(), "upper 95 % bound", "token ids", nullable=True),
    ],
    metadata={"title": "Vocabulary use by domain", "order": "domain ((all) first)"},
)

SHARDS = pa.schema(
    [
        _field("shard", pa.string(), "name of the shard"),
        _field("sha256", pa.string(), "SHA-256 of its bytes", nullable=True),
        _field("bytes", pa.int64(), "size of the file", "bytes"),
        _field("format", pa.string(), "parquet, jsonl, jsonl.gz, jsonl.zst or arrow"),
        _field("status", pa.string(), "read, cached, not_sampled or error"),
        _field("copies", pa.int64(), "shards of the snapshot with the same bytes, this one included", "shards"),
        _field("splits", pa.int64(), "splits of the shard", "splits"),
        _field("splits_counted", pa.int64(), "splits that were chosen and counted", "splits"),
        _field("rows", pa.int64(), "rows read", "rows"),
        _field("documents", pa.int64(), "rows counted as documents", "documents"),
        _field("dead_letters", pa.int64(), "rows that could not be counted", "rows"),
        _field("filtered", pa.int64(), "rows that the filter dropped", "rows"),
        _field("nul_documents", pa.int64(), "counted documents that hold a NUL character", "documents"),
        _field("error", pa.string(), "why the shard could not be read", nullable=True),
    ],
    metadata={"title": "Coverage, shard by shard", "order": "shard"},
)

OUTCOMES = pa.schema(
    [
        _field("outcome", pa.string(), "document, dead_letter or filtered"),
        _field("reason", pa.string(), "the dead letter's reason or the filter's clause"),
        _field("rows", pa.int64(), "rows", "rows"),
    ],
    metadata={"title": "What became of every row, by reason", "order": "outcome, reason"},
)

DEAD_LETTERS = pa.schema(
    [
        _field("shard", pa.string(), "name of the shard"),
        _field("split", pa.int64(), "split of the shard"),
        _field("row", pa.int64(), "row within the split"),
        _field("reason", pa.string(), "why it could not be counted"),
        _field("sha256", pa.string(), "SHA-256 of the row's bytes (of its text field in columnar formats)"),
        _field("bytes", pa.int64(), "length of those bytes", "bytes"),
        _field("excerpt", pa.string(), "its first bytes, only if asked for", nullable=True),
    ],
    metadata={
        "title": "Rows that could not be counted (at most 1,000 a reason and split)",
        "order": "shard, split, row",
    },
)

PER_DOCUMENT = pa.schema(
    [
        _field("shard", pa.string(), "name of the shard"),
        _field("split", pa.int64(), "split of the shard"),
        _field("row", pa.int64(), "row within the split"),
        _field("id", pa.string(), "the document's id, where the corpus has ids", nullable=True),
        _field("domain", pa.string(), "value of the primary facet"),
        _field("hash", pa.binary(16), "content hash"),
        _field("bytes", pa.int64(), "bytes of UTF-8 text", "bytes"),
        _field("characters", pa.int64(), "code points", "characters"),
        _field("words", pa.int64(), "words", "words"),
        _field("tokens", pa.int64(), "tokens", "tokens"),
    ],
    metadata={"title": "Every document's counts", "order": "shard, split, row"},
)

METRICS = pa.schema(
    [
        _field("metric", pa.string(), "name of the metric"),
        _field("slice", pa.string(), "what it is a metric of: all, or facet=value"),
        _field("value", pa.float64(), "the value", "unit", nullable=True),
        _field("n", pa.int64(), "the denominator"),
        _field("low", pa.float64(), "lower 95 % bound", "unit", nullable=True),
        _field("high", pa.float64(), "upper 95 % bound", "unit", nullable=True),
        _field("unit", pa.string(), "unit of the value"),
    ],
    metadata={"title": "Every figure that a policy can judge", "order": "metric, slice"},
)

TABLES: dict[str, pa.Schema] = {
    "domains": DOMAINS,
    "cluster_groups": CLUSTER_GROUPS,
    "proportions": PROPORTIONS,
    "lengths": LENGTHS,
    "length_quantiles": LENGTH_QUANTILES,
    "duplicates": DUPLICATES,
    "document_hashes": DOCUMENT_HASHES,
    "token_counts": TOKEN_COUNTS,
    "token_groups": TOKEN_GROUPS,
    "token_examples": TOKEN_EXAMPLES,
    "minhash": MINHASH,
    "samples": SAMPLES,
    "vocabulary": VOCABULARY,
    "shards": SHARDS,
    "outcomes": OUTCOMES,
    "dead_letters": DEAD_LETTERS,
    "per_document": PER_DOCUMENT,
    "metrics": METRICS,
}
"""File name (without .parquet) of every table of a run directory, and its schema."""

INTEGER_TABLES = (
    "domains",
    "cluster_groups",
    "lengths",
    "duplicates",
    "document_hashes",
    "token_counts",
    "token_groups",
    "token_examples",
    "minhash",
    "samples",
    "outcomes",
)
"""Tables that are byte-identical for any workers, sharding, row order and engine."""
