"""Arrow schemas of what a run copies of results that are stored beside its index: attributions, and scores of heads.

`attribute` and `heads` compute these results; an audit of the index's snapshot copies what they say into the run.
"""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.attention_tables import HEAD_DOMAINS, HEAD_SCORES
from corpus_audit.schemas.tables.fields import field

_UNIT = field("unit", pa.string(), "the unit's address, such as mlp.4:446")
_METHOD = field("method", pa.string(), "the attribution method")
_RANDOM = "areas of random orders, of all checked examples"
_REASON = field("reason", pa.string(), "why the result cannot be read; other columns are null then", nullable=True)


def _optional(name: str, type_: pa.DataType, about: str, unit: str = "") -> pa.Field:
    return field(name, type_, about, unit, nullable=True)


UNIT_ATTRIBUTIONS = pa.schema(
    [
        _UNIT,
        _METHOD,
        _optional("caveat", pa.string(), "what the method does not show"),
        _optional("examples", pa.int64(), "examples that were attributed", "examples"),
        _optional("documents", pa.int64(), "documents that they are of", "documents"),
        _optional("completeness_error", pa.float64(), "the largest |sum - (F(x) - F(b))| / max(|F(x)|, |F(b)|)"),
        _optional("tolerance", pa.float64(), "of the completeness error"),
        _optional("converged", pa.int64(), "examples within the tolerance; null of methods without", "examples"),
        _optional("checked", pa.int64(), "examples whose deletion and insertion curves were computed", "examples"),
        _optional("deletion", pa.float64(), "mean area under the deletion curve; low is good"),
        _optional("insertion", pa.float64(), "mean area under the insertion curve; high is good"),
        _optional("random_mean", pa.float64(), f"mean of the {_RANDOM}"),
        _optional("random_low", pa.float64(), f"lowest of the {_RANDOM}"),
        _optional("random_high", pa.float64(), f"highest of the {_RANDOM}"),
        _optional("random_orders", pa.int64(), "how many those are", "orders"),
        _optional("deletion_beaten", pa.int64(), "random orders with a lower area than the deletion", "orders"),
        _optional("insertion_beaten", pa.int64(), "random orders with a higher one than the insertion", "orders"),
        _optional("randomised_block", pa.float64(), "mean Spearman correlation after permuting the block's weights"),
        _optional("randomised_all", pa.float64(), "likewise, of all blocks up to it"),
        _optional("baseline", pa.string(), "what stood for a token that says nothing: mask, mean or zero"),
        _optional("baseline_length", pa.float64(), "length of its embedding over a word's"),
        _optional("domain", pa.string(), "of the strongest example"),
        _optional("document", pa.string(), "its document's id, else shard and row"),
        _optional("value", pa.float64(), "F(x), its activation"),
        _optional("baseline_value", pa.float64(), "F(b), that of the baseline"),
        _optional("whole", pa.float64(), "what shares are of: F(x) - F(b), or the sum of all tokens"),
        _optional("text", pa.string(), "its text; null with `excerpts: false`"),
        _optional("peak", pa.int32(), "which token of the text the activation is of, from 0", "tokens"),
        _optional("starts", pa.list_(pa.int32()), "where each token of the text begins", "characters"),
        _optional("ends", pa.list_(pa.int32()), "where each ends", "characters"),
        _optional("attribution", pa.list_(pa.float64()), "each token's attribution, in the unit's own scale"),
        field("file", pa.string(), "the result's file, beside the index"),
        _optional("provenance", pa.string(), "everything that decides the result, as JSON"),
        _REASON,
    ],
    metadata={"title": "Which tokens make units fire: results of `attribute`", "order": "unit (of the index), file"},
)

UNIT_ATTRIBUTION_TOKENS = pa.schema(
    [
        _UNIT,
        _METHOD,
        field("domain", pa.string(), "value of the primary facet"),
        field("examples", pa.int64(), "attributed examples of the domain", "examples"),
        field("domain_documents", pa.int64(), "documents that they are of", "documents"),
        field("rank", pa.int64(), "from 0, by mean"),
        field("text", pa.string(), "the token or n-gram, as it stands in the documents"),
        field("tokens", pa.int64(), "its tokens", "tokens"),
        field("occurrences", pa.int64(), "how often it occurs in the examples"),
        field("documents", pa.int64(), "in how many documents", "documents"),
        field("mean", pa.float64(), "attribution of an example, in the unit's own scale"),
        field("share", pa.float64(), "of what shares are of, over the examples of the domain", "share", nullable=True),
        field("low", pa.float64(), "lower 95 % bound, documents as clusters", "share", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", "share", nullable=True),
    ],
    metadata={"title": "Tokens that carry units' activations, by domain", "order": "unit (of the index), domain, rank"},
)

HEAD_EVIDENCE = pa.schema(
    [
        field("head", pa.string(), "the head's address, such as head.3:7"),
        field("rank", pa.int32(), "from 0, by mass"),
        field("mass", pa.float64(), "attention to all earlier tokens that are right", "share"),
        field("length", pa.int32(), "tokens up to the query that equal those in front of the key", "tokens"),
        field("distance", pa.int32(), "tokens from the key to the query", "tokens"),
        field("domain", pa.string(), "the document's domain"),
        field("document", pa.string(), "its id, else shard and row"),
        _optional("text", pa.string(), "of the window; null with `excerpts: false`"),
        _optional("query_start", pa.int32(), "where the token at which the head attends back begins", "characters"),
        _optional("query_end", pa.int32(), "where it ends", "characters"),
        _optional("key_start", pa.int32(), "where the token that it attends to begins", "characters"),
        _optional("key_end", pa.int32(), "where it ends", "characters"),
    ],
    metadata={"title": "Training documents in which induction heads complete a sequence", "order": "head, rank"},
)

HEAD_RESULTS = pa.schema(
    [
        _optional("heads", pa.int64(), "heads that were scored", "heads"),
        _optional("threshold", pa.float64(), "prefix matching from which a head counts as an induction head", "share"),
        _optional("windows", pa.int64(), "windows of the corpus that were read", "windows"),
        field("file", pa.string(), "the results' folder, beside the index"),
        _optional("provenance", pa.string(), "everything that decides the results, as JSON"),
        _REASON,
    ],
    metadata={"title": "Results of `heads` for the index", "order": "one row, then a row a result that cannot be read"},
)

CORRELATIONS = pa.schema(
    [
        field("unit", pa.string(), "address of the other unit"),
        field("r", pa.float64(), "Pearson's correlation over tokens; NaN where the unit does not vary in the sample"),
        field("low", pa.float64(), "lower end of the 95 % interval, documents as clusters; NaN without one"),
        field("high", pa.float64(), "its upper end"),
        field("p", pa.float64(), "two-sided, of no correlation; NaN without an interval"),
    ],
    metadata={"title": "Correlations of a unit with others", "order": "row of the index"},
)
"""Of a unit, as `lookup` gives them; `embeddings/lookup/README.md` is the page. No run copies them."""

INDEX_RESULT_TABLES: dict[str, pa.Schema] = {
    "unit_attributions": UNIT_ATTRIBUTIONS,
    "unit_attribution_tokens": UNIT_ATTRIBUTION_TOKENS,
    "head_results": HEAD_RESULTS,
    "head_scores": HEAD_SCORES,
    "head_domains": HEAD_DOMAINS,
    "head_evidence": HEAD_EVIDENCE,
}
"""File name (without .parquet) of each in a run directory; `head_domains` has the rows of induction heads alone."""
