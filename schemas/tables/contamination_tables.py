"""Arrow schemas of the contamination tables: which benchmark items the corpus holds; see `schemas.tables.run_tables`.

Outcomes of an item under a rule: ``contaminated``; ``boilerplate``, it would be but for n-grams that more documents
hold than the limit allows; ``clean``; ``untestable``, too short for the rule (outside every denominator); ``unjudged``,
the rule has a score and no threshold.
"""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

_BENCHMARK = field("benchmark", pa.string(), "name of the benchmark")
_RULE = field("rule", pa.string(), "name of the rule")
_VERSION = field("rule_version", pa.int32(), "version of the rule's definition here")

CONTAMINATION = pa.schema(
    [
        _BENCHMARK,
        _RULE,
        _VERSION,
        field("about", pa.string(), "the rule's definition and parameters"),
        field("items", pa.int64(), "items read", "items"),
        field("bad_rows", pa.int64(), "rows that are no items, such as those without a prompt", "rows"),
        field("bad_reasons", pa.string(), "bad rows by reason", nullable=True),
        field("remarks", pa.string(), "what else was seen in its rows, such as ids that occur twice", nullable=True),
        field("untestable", pa.int64(), "items too short for the rule", "items"),
        field("testable", pa.int64(), "the other items: the denominator", "items"),
        field("contaminated", pa.int64(), "testable items that the corpus holds", "items", nullable=True),
        field("boilerplate", pa.int64(), "items that only boilerplate would make so", "items", nullable=True),
        field("share", pa.float64(), "contaminated of testable", "share", nullable=True),
        field("low", pa.float64(), "lower 95 % bound (Clopper-Pearson)", "share", nullable=True),
        field("high", pa.float64(), "upper 95 % bound (Clopper-Pearson)", "share", nullable=True),
        field("mean_score", pa.float64(), "mean score of the testable items", nullable=True),
        field("threshold", pa.float64(), "score from which an item is contaminated", nullable=True),
        field(
            "boilerplate_limit", pa.int64(), "an n-gram in more documents is no evidence", "documents", nullable=True
        ),
        field("reason", pa.string(), "why there is no share", nullable=True),
    ],
    metadata={"title": "Benchmark items found in the corpus, by rule", "order": "benchmark (of the spec), rule"},
)

CONTAMINATION_ITEMS = pa.schema(
    [
        _BENCHMARK,
        field("item", pa.string(), "the item's id, else file and row"),
        _RULE,
        field("outcome", pa.string(), "contaminated, boilerplate, clean, untestable or unjudged"),
        field("score", pa.float64(), "what the rule compares with its threshold", nullable=True),
        field("score_unlimited", pa.float64(), "the score if boilerplate were evidence", nullable=True),
        field("longest", pa.int64(), "longest match in one document", "unit"),
        field("unit", pa.string(), "words, or tokens for llama2"),
    ],
    metadata={"title": "Every benchmark item under every rule", "order": "benchmark, item (of the file), rule"},
)

CONTAMINATION_MATCHES = pa.schema(
    [
        _BENCHMARK,
        field("item", pa.string(), "the item's id, else file and row"),
        field("document", pa.string(), "the document's content hash, hexadecimal"),
        field("id", pa.string(), "its id, where the corpus has ids", nullable=True),
        field("domain", pa.string(), "its value of the primary facet"),
        field("documents", pa.int64(), "documents of the corpus with this very text", "documents", nullable=True),
        field("unit", pa.string(), "words, or tokens for a document that only matches as tokens"),
        field("longest", pa.int64(), "longest run of the item's words (tokens) in the document", "unit"),
        field(
            "covered", pa.float64(), "share of the item's words in an 8-gram of the document", "share", nullable=True
        ),
        field("offset", pa.int64(), "where the longest run is in the document's UTF-8", "bytes", nullable=True),
        field("length", pa.int64(), "how long it is there", "bytes", nullable=True),
    ],
    metadata={
        "title": "Documents behind the contaminated items: of each item those that cover most of it, then lowest hash",
        "order": "benchmark, item (of the file), covered descending, document",
    },
)

CONTAMINATION_DOMAINS = pa.schema(
    [
        _BENCHMARK,
        field("domain", pa.string(), "value of the primary facet"),
        field("documents", pa.int64(), "documents that share an 8-gram with an item", "documents"),
        field("grams", pa.int64(), "distinct 8-grams of the benchmark found here", "n-grams"),
        field("long_grams", pa.int64(), "distinct 13-grams of the benchmark found here", "n-grams"),
        field("items", pa.int64(), "items with a 13-gram found here that is no boilerplate", "items"),
    ],
    metadata={"title": "Which sources leak", "order": "benchmark, items descending, documents descending, domain"},
)

CONTAMINATION_COPIES = pa.schema(
    [
        _RULE,
        _VERSION,
        field("copy", pa.string(), "kind of copy: how the item's text was altered"),
        field("about", pa.string(), "what was done to it"),
        field("required", pa.bool_(), "whether the rule's definition makes the copy and the item the same text"),
        field("canaries", pa.int64(), "planted copies whose items are testable under the rule", "items"),
        field("found", pa.int64(), "planted copies that the rule called contaminated", "items"),
        field(
            "recall",
            pa.float64(),
            "found of canaries; where it is required and below 1 the scan is broken",
            "share",
            nullable=True,
        ),
        field("reason", pa.string(), "why there is no recall", nullable=True),
    ],
    metadata={"title": "Planted copies that each rule finds, by kind of copy", "order": "rule, kind of copy"},
)

CONTAMINATION_CHECK = pa.schema(
    [
        _RULE,
        _VERSION,
        field("canaries", pa.int64(), "planted copies that the rule must find, of all kinds, if testable", "items"),
        field("found", pa.int64(), "those that the rule called contaminated", "items"),
        field("recall", pa.float64(), "found of canaries; below 1 the scan is broken", "share", nullable=True),
        field("decoys", pa.int64(), "decoy passages that are testable under the rule", "items"),
        field(
            "decoy_share",
            pa.float64(),
            "share of the corpus, by the size of its splits, that decoys were cut from and looked for in",
            "share",
            nullable=True,
        ),
        field("hit", pa.int64(), "decoys called contaminated by other documents", "items", nullable=True),
        field("false_positive_rate", pa.float64(), "hit of decoys", "share", nullable=True),
        field("low", pa.float64(), "lower 95 % bound (Clopper-Pearson)", "share", nullable=True),
        field("high", pa.float64(), "upper 95 % bound (Clopper-Pearson)", "share", nullable=True),
        field("reason", pa.string(), "why a figure is missing", nullable=True),
    ],
    metadata={"title": "The contamination scan's own check", "order": "rule"},
)

CONTAMINATION_TABLES: dict[str, pa.Schema] = {
    "contamination": CONTAMINATION,
    "contamination_items": CONTAMINATION_ITEMS,
    "contamination_matches": CONTAMINATION_MATCHES,
    "contamination_domains": CONTAMINATION_DOMAINS,
    "contamination_copies": CONTAMINATION_COPIES,
    "contamination_check": CONTAMINATION_CHECK,
}
