"""Arrow schemas of contaminated items in an investigation: how they were looked up, the order of runs without them."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

_TASK = field("task", pa.string(), "the task (benchmark) as the evaluations name it")

EVALUATION_JOINS = pa.schema(
    [
        _TASK,
        field(
            "benchmark",
            pa.string(),
            "as the list of contaminated items names it; null if it is not there",
            nullable=True,
        ),
        field("items", pa.int64(), "distinct items of all evaluations", "items"),
        field("by_hash", pa.int64(), "items that the list names by the hash of their document", "items"),
        field("by_id", pa.int64(), "items that it names by their id", "items"),
        field("contaminated", pa.int64(), "of these, contaminated ones", "items"),
        field("clean", pa.int64(), "of these, clean ones", "items"),
        field("untestable", pa.int64(), "of these, those that the rule could not judge", "items"),
        field("numbered", pa.int64(), "items that are not looked up, as their only id is a number", "items"),
        field("missing", pa.int64(), "other items that the list does not have", "items"),
        field("unused", pa.int64(), "items of the benchmark that no evaluation has", "items"),
    ],
    metadata={"title": "Items of evaluations in the list of contaminated items", "order": "task"},
)

EVALUATION_RANKS = pa.schema(
    [
        _TASK,
        field("metric", pa.string(), "the metric"),
        field("filter", pa.string(), "how the answer was extracted; empty where there is one way only"),
        field("run", pa.string(), "the training run, at its last evaluated step"),
        field("step", pa.int64(), "that step", "steps"),
        field("items", pa.int64(), "items that all runs have and that are known to be clean or contaminated", "items"),
        field("contaminated", pa.int64(), "contaminated ones", "items"),
        field("score", pa.float64(), "mean over all of them", "score"),
        field("clean", pa.float64(), "mean over clean ones", "score"),
        field("rank", pa.int64(), "by score; 1 is the best"),
        field("clean_rank", pa.int64(), "by the mean over clean ones"),
    ],
    metadata={"title": "Order of runs with and without contaminated items", "order": "task, metric, filter, as listed"},
)

CONTAMINATION_JOIN_TABLES = {"evaluation_joins": EVALUATION_JOINS, "evaluation_ranks": EVALUATION_RANKS}
"""File name (without .parquet) of every table, and its schema."""
