"""Arrow schemas of the tables that a run publishes, one Parquet file each, units in the field metadata.

Tables hold integers (exact, byte-identical for any workers, sharding, engine or CPU) or figures derived from them once.
Row order is stated with each schema.
"""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_TABLES
from corpus_audit.schemas.tables.coverage_tables import DEAD_LETTERS, OUTCOMES, SHARDS, UNREAD_FILES
from corpus_audit.schemas.tables.document_tables import (
    DOCUMENT_HASHES,
    DOCUMENT_IDENTITIES,
    DOCUMENT_SAMPLE,
    MINHASH,
    PER_DOCUMENT,
    SAMPLES,
)
from corpus_audit.schemas.tables.drift_tables import DRIFT_TABLES
from corpus_audit.schemas.tables.embedding_tables import EMBEDDING_TABLES
from corpus_audit.schemas.tables.fields import DOMAIN, DOMAIN_OR_ALL, field
from corpus_audit.schemas.tables.image_tables import IMAGE_TABLES
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
        DOMAIN_OR_ALL,
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
        DOMAIN_OR_ALL,
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

VOCABULARY = pa.schema(
    [
        DOMAIN_OR_ALL,
        field("tokens", pa.int64(), "tokens", "tokens"),
        field("types", pa.int64(), "distinct token ids that occur", "token ids"),
        field("coverage", pa.float64(), "types / vocabulary size", "share"),
        field("effective", pa.float64(), "exp of the token distribution's entropy", "token ids"),
        field("effective_low", pa.float64(), "lower 95 % bound", "token ids", nullable=True),
        field("effective_high", pa.float64(), "upper 95 % bound", "token ids", nullable=True),
    ],
    metadata={"title": "Vocabulary use by domain", "order": "domain ((all) first)"},
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
    **IMAGE_TABLES,
}
"""File name (without .parquet) of every table of a run directory, and its schema."""
