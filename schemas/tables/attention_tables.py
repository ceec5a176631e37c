"""Arrow schemas of the results of ``heads`` and ``attention``; `embeddings/heads/README.md` is their page."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import DOMAIN_OR_ALL, field

_HEAD = field("head", pa.string(), "the head's address, such as head.3:7")

HEAD_SCORES = pa.schema(
    [
        _HEAD,
        field("previous", pa.float64(), "attention to the token before", "share"),
        field("duplicate", pa.float64(), "attention of repeats to earlier copies of their token", "share"),
        field("prefix", pa.float64(), "prefix matching: attention of repeats to what followed earlier copies", "share"),
        field("chance", pa.float64(), "prefix matching of a head that attends evenly", "share"),
        field("copying", pa.float64(), "copying score (Olsson et al. 2022), -1 to 1", nullable=True),
        field("eigenvalues", pa.float64(), "OV eigenvalue score (Elhage et al. 2021), -1 to 1", nullable=True),
        field("first", pa.float64(), "attention to the first position", "share"),
        field("entropy", pa.float64(), "mean entropy of the attention weights", "nats"),
    ],
    metadata={"title": "Scores of every head on repeated random tokens", "order": "block, head"},
)

HEAD_DOMAINS = pa.schema(
    [
        _HEAD,
        DOMAIN_OR_ALL,
        field("measure", pa.string(), "previous, duplicate, induction, completing, first or entropy"),
        field("value", pa.float64(), "mean over queries that count; a share, of entropy nats", nullable=True),
        field("low", pa.float64(), "lower 95 % bound, documents as clusters", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", nullable=True),
        field("chance", pa.float64(), "the mean of a head that attends evenly", "share", nullable=True),
        field("queries", pa.int64(), "queries that count", "tokens"),
        field("documents", pa.int64(), "documents that have any", "documents"),
        field("tokens", pa.int64(), "tokens of the domain's sampled windows that count", "tokens"),
    ],
    metadata={"title": "Measures of every head on windows of the corpus", "order": "domain, measure, block, head"},
)

INDUCTION_EVIDENCE = pa.schema(
    [
        _HEAD,
        field("rank", pa.int32(), "from 0, by mass"),
        field("window", pa.uint64(), "first 8 bytes of the window's id"),
        field("query", pa.int32(), "the token at which the head attends back, within the window", "tokens"),
        field("key", pa.int32(), "the token that it attends to most, equal to the one that comes next", "tokens"),
        field("mass", pa.float64(), "attention to all earlier tokens that are right", "share"),
        field("length", pa.int32(), "tokens up to the query that equal those in front of the key", "tokens"),
        field("domain", pa.string(), "the document's domain"),
        field("id", pa.string(), "the document's own id", nullable=True),
        field("shard", pa.string(), "its shard"),
        field("row", pa.int64(), "its row within the shard's split, from 0"),
    ],
    metadata={"title": "Where induction heads complete a sequence of the corpus", "order": "head, rank"},
)

HEAD_CIRCUITS = pa.schema(
    [
        _HEAD,
        field("source", pa.string(), "an earlier head"),
        field("composition", pa.float64(), "K-composition less that of random matrices", nullable=True),
        field("random", pa.float64(), "K-composition of random matrices", nullable=True),
        field("previous", pa.float64(), "the source's previous-token score", "share"),
        field("prefix", pa.float64(), "the induction head's prefix matching", "share"),
        field("without", pa.float64(), "the same with the source replaced by its mean output", "share"),
    ],
    metadata={"title": "Which earlier heads feed induction heads", "order": "head, without"},
)

HEAD_ABLATIONS = pa.schema(
    [
        field("heads", pa.string(), "the heads that were removed together, with blanks between"),
        field("kind", pa.string(), "what replaced them: zero or mean"),
        field("loss", pa.float64(), "mean loss with all heads, over the sample", "nats", nullable=True),
        field("difference", pa.float64(), "what the loss is higher without them", "nats", nullable=True),
        field("low", pa.float64(), "lower 95 % bound, documents as clusters", "nats", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", "nats", nullable=True),
        field("repeat_loss", pa.float64(), "mean loss with all heads, on repeats of random tokens", "nats"),
        field("repeat_difference", pa.float64(), "what that is higher without them", "nats"),
        field("repeat_low", pa.float64(), "lower 95 % bound, sequences as clusters", "nats", nullable=True),
        field("repeat_high", pa.float64(), "upper 95 % bound", "nats", nullable=True),
        field("documents", pa.int64(), "documents of the sample", "documents"),
        field("tokens", pa.int64(), "tokens that were predicted", "tokens"),
    ],
    metadata={"title": "What the loss is without heads", "order": "block, head"},
)

ATTENTION_EXAMPLES = pa.schema(
    [
        _HEAD,
        field("rank", pa.int32(), "of the example in the head's list"),
        field("window", pa.uint64(), "first 8 bytes of the window's id"),
        field("position", pa.int32(), "the peak's token", "tokens"),
        field("indexed", pa.float64(), "the activation as the index has it"),
        field("value", pa.float64(), "the same as computed here: the length of what the head writes"),
        field("weights", pa.list_(pa.float32()), "attention to every token of the window", "share"),
        field("norms", pa.list_(pa.float32()), "length of what the head writes from every token"),
        field("raised", pa.list_(pa.int32()), "ids whose logits the head raises most, directly"),
        field("raised_tokens", pa.list_(pa.string()), "their text"),
        field("raised_by", pa.list_(pa.float32()), "by how much, relative to the mean over all ids"),
        field("lowered", pa.list_(pa.int32()), "ids whose logits it lowers most"),
        field("lowered_tokens", pa.list_(pa.string()), "their text"),
        field("lowered_by", pa.list_(pa.float32()), "by how much"),
    ],
    metadata={"title": "What a head attends to and writes at the peaks of its examples", "order": "head, rank"},
)

ATTENTION_TABLES = {
    "head_scores": HEAD_SCORES,
    "head_domains": HEAD_DOMAINS,
    "induction_evidence": INDUCTION_EVIDENCE,
    "head_circuits": HEAD_CIRCUITS,
    "head_ablations": HEAD_ABLATIONS,
    "attention_examples": ATTENTION_EXAMPLES,
}
"""Every table, by the name of its file."""
