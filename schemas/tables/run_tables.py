"""Arrow schemas of the tables that a run publishes, one Parquet file each, units in the field metadata.

Tables hold integers (exact, byte-identical for any workers, sharding, engine or CPU) or figures derived from them once.
Row order is stated with each schema.
"""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_TABLES
from corpus_audit.schemas.tables.drift_tables import DRIFT_TABLES
from corpus_audit.schemas.tables.embedding_tables import EMBEDDING_TABLES
from corpus_audit.schemas.tables.fields import DOMAIN, field
from corpus_audit.schemas.tables.index_result_tables import INDEX_RESULT_TABLES
from corpus_audit.schemas.tables.sampling_tables import SAMPLING_TABLES

WIDE = pa.decimal128(38, 0)
"""Second moments: the sum of squared token counts of 10 PB of text is past int64."""

DOMAINS = pa.schema(
    [
        field("facet", pa.string(), "the facet; the primary one is named in run.json"),
        field("value", pa.string(), "the facet's value; empty and null values count as (none)"),
        field("documents", pa.int64(), "documents counted", "documents"),
        field("clusters", pa.int64(), "distinct cluster keys (documents, if no cluster field is set)", "clusters"),
        field("bytes", pa.int64(), "bytes of UTF-8 text", "bytes"),
        field("characters", pa.int64(), "code points", "characters"),
        field("words", pa.int64(), "maximal runs of code points that are not White_Space", "words"),
        field("tokens", pa.int64(), "tokens without special tokens", "tokens"),
        field("sum_bytes_squared", WIDE, "sum over documents of bytes^2", "bytes^2"),
        field("sum_tokens_squared", WIDE, "sum over documents of tokens^2", "tokens^2"),
    ],
    metadata={"title": "What is in the corpus, by every facet", "order": "facet, tokens descending, value"},
)
"""Facets with more than 10,000 values end in one row whose value is OTHER_VALUES and holds the exact remainder."""

OTHER_VALUES = "(all other values)"
NO_VALUE = "(none)"

CLUSTER_GROUPS = pa.schema(
    [
        field("facet", pa.string(), "the facet"),
        field("value", pa.string(), "the facet's value"),
        field("group", pa.int32(), "hash group of the cluster key, 0 to 1023"),
        field("documents", pa.int64(), "documents counted", "documents"),
        field("bytes", pa.int64(), "bytes of UTF-8 text", "bytes"),
        field("tokens", pa.int64(), "tokens", "tokens"),
    ],
    metadata={"title": "Totals by hash group of the cluster key", "order": "facet, value, group"},
)
"""Written only when a cluster field is set: the groups of the random-groups variance."""

PROPORTIONS = pa.schema(
    [
        field("facet", pa.string(), "the facet"),
        field("value", pa.string(), "the facet's value"),
        field("unit", pa.string(), "documents, bytes or tokens"),
        field("count", pa.int64(), "the value's total in that unit", "unit"),
        field("total", pa.int64(), "the corpus total in that unit", "unit"),
        field("clusters", pa.int64(), "clusters that hold the value", "clusters"),
        field("share", pa.float64(), "count / total", "share"),
        field("low", pa.float64(), "lower 95 % bound of the share", "share", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the share", "share", nullable=True),
        field("low_simultaneous", pa.float64(), "lower bound, 95 % jointly for all values", "share", nullable=True),
        field("high_simultaneous", pa.float64(), "upper bound, 95 % jointly for all values", "share", nullable=True),
        field("method", pa.string(), "how the interval was made"),
        field("intended", pa.float64(), "the intended share, where one was given", "share", nullable=True),
        field("difference", pa.float64(), "share - intended", "share", nullable=True),
        field("difference_low", pa.float64(), "lower 95 % bound of the difference", "share", nullable=True),
        field("difference_high", pa.float64(), "upper 95 % bound of the difference", "share", nullable=True),
    ],
    metadata={"title": "Shares with design-based intervals", "order": "facet, unit, count descending, value"},
)

LENGTHS = pa.schema(
    [
        field("domain", pa.string(), "value of the primary facet"),
        field("unit", pa.string(), "characters or tokens"),
        field("low", pa.int64(), "smallest length in the bucket", "unit"),
        field("high", pa.int64(), "largest length in the bucket", "unit"),
        field("documents", pa.int64(), "documents whose length is in the bucket", "documents"),
    ],
    metadata={"title": "Document lengths, log buckets of 1 % relative error", "order": "domain, unit, low"},
)

LENGTH_QUANTILES = pa.schema(
    [
        field("domain", pa.string(), "value of the primary facet, or (all)"),
        field("unit", pa.string(), "characters or tokens"),
        field("quantile", pa.float64(), "0.05, 0.25, 0.5, 0.75, 0.95, 0.99"),
        field("value", pa.float64(), "the length, within 1 % of the exact one", "unit"),
        field("low", pa.float64(), "lower 95 % bound (order statistics)", "unit", nullable=True),
        field("high", pa.float64(), "upper 95 % bound (order statistics)", "unit", nullable=True),
        field("documents", pa.int64(), "documents in the domain", "documents"),
        field("mean", pa.float64(), "exact mean length", "unit"),
    ],
    metadata={"title": "Length quantiles by domain", "order": "domain ((all) first), unit, quantile"},
)

ALL_DOMAINS = "(all)"

DUPLICATES = pa.schema(
    [
        field("domain", pa.string(), "value of the primary facet, or (all)"),
        field("documents", pa.int64(), "documents", "documents"),
        field("distinct", pa.int64(), "distinct texts within the domain", "documents"),
        field("duplicate_documents", pa.int64(), "documents - distinct", "documents"),
        field("across_documents", pa.int64(), "documents whose text occurs in another domain too", "documents"),
        field("tokens", pa.int64(), "tokens", "tokens"),
        field("distinct_tokens", pa.int64(), "tokens of the distinct texts", "tokens"),
        field("duplicate_tokens", pa.int64(), "tokens - distinct_tokens", "tokens"),
        field("across_tokens", pa.int64(), "tokens of documents whose text occurs in another domain too", "tokens"),
    ],
    metadata={"title": "Exact duplicates", "order": "domain ((all) first)"},
)

DOCUMENT_HASHES = pa.schema(
    [
        field("hash", pa.binary(16), "BLAKE2b-128 of the text's UTF-8 bytes"),
        field("domain", DOMAIN, "value of the primary facet"),
        field("documents", pa.int64(), "documents with this text in this domain", "documents"),
        field("tokens", pa.int64(), "tokens of one of them", "tokens"),
    ],
    metadata={"title": "Every distinct text by domain", "order": "hash, domain"},
)

DOCUMENT_IDENTITIES = pa.schema(
    [
        field("hash", pa.binary(16), "BLAKE2b-128 of the text's UTF-8 bytes"),
        field(
            "identity",
            pa.uint64(),
            "first 64 bits, big-endian as in hash, of BLAKE2b-128 of the id's bytes; null without an id",
            nullable=True,
        ),
        field("domain", DOMAIN, "value of the primary facet"),
        field("documents", pa.int64(), "documents with this id and text in this domain", "documents"),
        field("tokens", pa.int64(), "tokens of one of them", "tokens"),
        field("sketch", pa.binary(64), "one-permutation MinHash of 5-token shingles: 64 bins, a byte each, 0: empty"),
        field("id", pa.string(), "the document's id, where the corpus has ids", nullable=True),
    ],
    metadata={
        "title": "Every document by id and text, to be followed by later runs",
        "order": "hash, identity, domain",
    },
)

TOKEN_COUNTS = pa.schema(
    [
        field("domain", DOMAIN, "value of the primary facet"),
        field("token", pa.int32(), "token id"),
        field("count", pa.int64(), "occurrences Y", "tokens"),
        field("documents", pa.int64(), "documents that hold it", "documents"),
        field("sum_squared", WIDE, "sum over documents of y^2", "tokens^2"),
        field("sum_product", WIDE, "sum over documents of y * n, n the document's tokens", "tokens^2"),
    ],
    metadata={"title": "Document-clustered token counters", "order": "domain, token"},
)

TOKEN_GROUPS = pa.schema(
    [
        field("domain", DOMAIN, "value of the primary facet, or (all) where groups are kept overall"),
        field("token", pa.int32(), "token id"),
        field("groups", pa.uint64(), "bit g is set when hash group g holds the token"),
        field("counts", pa.list_(pa.int64()), "occurrences in each set group, ascending", "tokens"),
    ],
    metadata={"title": "Token counts by 64 hash groups of documents", "order": "domain, token"},
)

TOKEN_EXAMPLES = pa.schema(
    [
        field("token", pa.int32(), "token id"),
        field("hash", pa.binary(16), "content hash of the document of lowest hash that holds the token"),
        field("domain", DOMAIN, "that document's domain"),
        field("id", pa.string(), "that document's id, where the corpus has ids", nullable=True),
        field("text", pa.string(), "what the token decodes to"),
    ],
    metadata={"title": "What each token is, and one document that holds it", "order": "token"},
)

_SHARED_WITH = field("baseline", pa.dictionary(pa.int32(), pa.string()), "digest of the baseline's documents")

SHARED_TOKEN_COUNTS = pa.schema(
    [_SHARED_WITH, *TOKEN_COUNTS],
    metadata={"title": "Token counters of the documents that a baseline holds too", "order": "baseline, domain, token"},
)

SHARED_TOKEN_GROUPS = pa.schema(
    [_SHARED_WITH, *TOKEN_GROUPS],
    metadata={"title": "Token counts by hash group of those documents", "order": "baseline, domain, token"},
)
"""Both are written only if the audit has a baseline, so that drift from it needs no shard later."""

MINHASH = pa.schema(
    [
        field("hash", pa.binary(16), "content hash"),
        field("domain", DOMAIN, "value of the primary facet"),
        field("documents", pa.int64(), "documents with this text in this domain", "documents"),
        field("tokens", pa.int64(), "tokens of one of them", "tokens"),
        field("signature", pa.binary(512), "128 MinHash values, uint32 little-endian"),
    ],
    metadata={"title": "MinHash signatures of the near-duplicate sample", "order": "hash, domain"},
)

SAMPLES = pa.schema(
    [
        field("domain", DOMAIN, "value of the primary facet"),
        field("hash", pa.binary(16), "content hash; the lowest of the domain are kept"),
        field("documents", pa.int64(), "documents with this text in this domain", "documents"),
        field("tokens", pa.int64(), "tokens of one of them", "tokens"),
        field("excerpt", pa.string(), "the beginning of the text, if excerpts are on", nullable=True),
        field("buckets", pa.list_(pa.int16()), "hashed token n-grams, ascending"),
        field("counts", pa.list_(pa.int32()), "occurrences of each"),
    ],
    metadata={"title": "Hashed n-gram vectors of the documents of lowest hash", "order": "domain, hash"},
)

DOCUMENT_SAMPLE = pa.schema(
    [
        field("domain", DOMAIN, "value of the primary facet"),
        field("key", pa.uint64(), "the identity, else the first 64 bits of the hash; a domain's lowest are kept"),
        field("hash", pa.binary(16), "content hash"),
        field("identity", pa.uint64(), "hash of the id, as in document_identities", nullable=True),
        field("documents", pa.int64(), "documents with this id and text in this domain", "documents"),
        field("tokens", pa.int64(), "tokens of one of them", "tokens"),
        field(
            "token_ids",
            pa.binary(),
            "its tokens in order, uint16 or uint32 little-endian as bytes / tokens says; null for more than 32,768",
            nullable=True,
        ),
    ],
    metadata={
        "title": "Whole documents, up to 1,000 a domain, chosen by id",
        "order": "domain, key, hash",
        "row_group": "8192",
    },
)
"""Written unless `excerpts: false`, as it is text."""

VOCABULARY = pa.schema(
    [
        field("domain", pa.string(), "value of the primary facet, or (all)"),
        field("tokens", pa.int64(), "tokens", "tokens"),
        field("types", pa.int64(), "distinct token ids that occur", "token ids"),
        field("coverage", pa.float64(), "types / vocabulary size", "share"),
        field("effective", pa.float64(), "exp of the token distribution's entropy", "token ids"),
        field("effective_low", pa.float64(), "lower 95 % bound", "token ids", nullable=True),
        field("effective_high", pa.float64(), "upper 95 % bound", "token ids", nullable=True),
    ],
    metadata={"title": "Vocabulary use by domain", "order": "domain ((all) first)"},
)

SHARDS = pa.schema(
    [
        field("shard", pa.string(), "name of the shard"),
        field("sha256", pa.string(), "SHA-256 of its bytes", nullable=True),
        field("bytes", pa.int64(), "size of the file", "bytes"),
        field("format", pa.string(), "parquet, jsonl, jsonl.gz, jsonl.zst or arrow"),
        field("status", pa.string(), "read, cached, not_sampled or error"),
        field("copies", pa.int64(), "shards of the snapshot with the same bytes, this one included", "shards"),
        field("splits", pa.int64(), "splits of the shard", "splits"),
        field("splits_counted", pa.int64(), "splits that were chosen and counted", "splits"),
        field("rows", pa.int64(), "rows read", "rows"),
        field("documents", pa.int64(), "rows counted as documents", "documents"),
        field("dead_letters", pa.int64(), "rows that could not be counted", "rows"),
        field("row_bytes", pa.int64(), "bytes of all rows' lines (of their texts in columnar formats)", "bytes", True),
        field("dead_letter_bytes", pa.int64(), "of them, bytes of rows that could not be counted", "bytes", True),
        field("filtered", pa.int64(), "rows that the filter dropped", "rows"),
        field("nul_documents", pa.int64(), "counted documents that hold a NUL character", "documents"),
        field("error", pa.string(), "why the shard could not be read", nullable=True),
    ],
    metadata={"title": "Coverage, shard by shard", "order": "shard"},
)

UNREAD_FILES = pa.schema(
    [
        field("file", pa.string(), "name as a shard would be called; a folder that is not listed further ends in /"),
        field("reason", pa.string(), "why it is no shard; schemas.snapshot.UnreadReason"),
        field("may_be_data", pa.bool_(), "whether documents may be missing because of it"),
        field("bytes", pa.int64(), "size of the file", "bytes", nullable=True),
        field("same_as", pa.string(), "of another name of a file that is read: the name it is read by", nullable=True),
    ],
    metadata={"title": "Files that were seen among the shards and not read", "order": "file"},
)
"""Written only when there is such a file."""

OUTCOMES = pa.schema(
    [
        field("outcome", pa.string(), "document, dead_letter or filtered"),
        field("reason", pa.string(), "the dead letter's reason or the filter's clause"),
        field("rows", pa.int64(), "rows", "rows"),
    ],
    metadata={"title": "What became of every row, by reason", "order": "outcome, reason"},
)

DEAD_LETTERS = pa.schema(
    [
        field("shard", pa.string(), "name of the shard"),
        field("split", pa.int64(), "split of the shard"),
        field("row", pa.int64(), "row within the split"),
        field("reason", pa.string(), "why it could not be counted"),
        field("sha256", pa.string(), "SHA-256 of the row's bytes (of its text field in columnar formats)"),
        field("bytes", pa.int64(), "length of those bytes", "bytes"),
        field("excerpt", pa.string(), "its first bytes, only if asked for", nullable=True),
    ],
    metadata={
        "title": "Rows that could not be counted (at most 1,000 a reason and split)",
        "order": "shard, split, row",
    },
)

PER_DOCUMENT = pa.schema(
    [
        field("shard", pa.string(), "name of the shard"),
        field("split", pa.int64(), "split of the shard"),
        field("row", pa.int64(), "row within the split"),
        field("id", pa.string(), "the document's id, where the corpus has ids", nullable=True),
        field("domain", pa.string(), "value of the primary facet"),
        field("hash", pa.binary(16), "content hash"),
        field("bytes", pa.int64(), "bytes of UTF-8 text", "bytes"),
        field("characters", pa.int64(), "code points", "characters"),
        field("words", pa.int64(), "words", "words"),
        field("tokens", pa.int64(), "tokens", "tokens"),
    ],
    metadata={"title": "Every document's counts", "order": "shard, split, row"},
)

UNKNOWN = "the figure could not be made"
"""Reason of a figure without a value whose own table gives none."""

SAME_DOCUMENTS = "both hold the same documents"
"""Reason of a figure that compares two snapshots with the same documents: it is a fact, however few they are."""

METRICS = pa.schema(
    [
        field("metric", pa.string(), "name of the metric"),
        field("slice", pa.string(), "what it is a metric of: all, or facet=value"),
        field("value", pa.float64(), "the value", "unit", nullable=True),
        field("n", pa.int64(), "the denominator"),
        field("low", pa.float64(), "lower 95 % bound", "unit", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", "unit", nullable=True),
        field("unit", pa.string(), "unit of the value"),
        field("reason", pa.string(), "why there is no value; or SAME_DOCUMENTS", nullable=True),
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
    "document_identities": DOCUMENT_IDENTITIES,
    "token_counts": TOKEN_COUNTS,
    "token_groups": TOKEN_GROUPS,
    "token_examples": TOKEN_EXAMPLES,
    "minhash": MINHASH,
    "samples": SAMPLES,
    "document_sample": DOCUMENT_SAMPLE,
    "vocabulary": VOCABULARY,
    "shards": SHARDS,
    "unread_files": UNREAD_FILES,
    "outcomes": OUTCOMES,
    "dead_letters": DEAD_LETTERS,
    "per_document": PER_DOCUMENT,
    "metrics": METRICS,
    "shared_token_counts": SHARED_TOKEN_COUNTS,
    "shared_token_groups": SHARED_TOKEN_GROUPS,
    **DRIFT_TABLES,
    **SAMPLING_TABLES,
    **CONTAMINATION_TABLES,
    **EMBEDDING_TABLES,
    **INDEX_RESULT_TABLES,
}
"""File name (without .parquet) of every table of a run directory, and its schema."""
