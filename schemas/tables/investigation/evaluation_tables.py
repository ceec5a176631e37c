"""Arrow schemas of evaluation results and their comparison: items, what was read, claims, and differences by task."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field
from corpus_audit.schemas.tables.investigation.behaviour_tables import BEHAVIOUR_TABLES

_NAME = pa.dictionary(pa.int32(), pa.string())

_TASK = field("task", pa.string(), "the task (benchmark) as the evaluation names it")
_METRIC = field("metric", pa.string(), "the metric")
_FILTER = field("filter", pa.string(), "how the answer was extracted; empty where there is one way only")
_SIDE = field("side", pa.string(), "evaluation a, b or placebo")

EVALUATION_ITEMS = pa.schema(
    [
        field("model", _NAME, "the model as the file names it; empty if it does not"),
        field("task", _NAME, "the task (benchmark) as the evaluation names it"),
        field("task_version", _NAME, "version and settings of the task, where the file has them", nullable=True),
        field("item", pa.string(), "what items are paired by: a hash of the document, else its id"),
        field("item_id", pa.string(), "the item's id in the file"),
        field("prompt_hash", pa.string(), "hash of the prompt, where it can be known", nullable=True),
        field("metric", _NAME, "the metric"),
        field("filter", _NAME, "how the answer was extracted; empty where there is one way only"),
        field("epoch", pa.int32(), "which answer to the same prompt, from 1"),
        field("seed", _NAME, "the run's seed, where the file has one", nullable=True),
        field("score", pa.float64(), "the item's score", "score"),
        field("cluster", pa.string(), "value of the cluster field", nullable=True),
        field("file", _NAME, "the file, relative to the evaluation"),
        field("row", pa.int64(), "row of the file, or member of the archive, from 1"),
    ],
    metadata={"title": "Scores of single items", "order": "file, row, metric as in the file"},
)

EVALUATION_FILES = pa.schema(
    [
        _SIDE,
        field("file", pa.string(), "the file, relative to the evaluation"),
        field("format", pa.string(), "the format that its content has", nullable=True),
        field("bytes", pa.int64(), "its size", "bytes"),
        field("rows", pa.int64(), "rows, samples or members that were looked at", "rows"),
        field("items", pa.int64(), "scores that were read", "items"),
        field("dead_letters", pa.int64(), "scores, or whole rows, that were not understood", "items"),
        field("claims", pa.int64(), "aggregate figures that it states", "claims"),
        field("reason", pa.string(), "why it, or the rest of it, was not read", nullable=True),
    ],
    metadata={"title": "Every file of the evaluations", "order": "side, file"},
)

EVALUATION_DEAD_LETTERS = pa.schema(
    [
        _SIDE,
        field("file", pa.string(), "the file, relative to the evaluation"),
        field("row", pa.int64(), "row of the file, or member of the archive, from 1"),
        field("reason", pa.string(), "why it gave no score"),
        field("detail", pa.string(), "what stood there, at most 200 characters"),
    ],
    metadata={
        "title": "Rows without a score, at most 1,000 a file and reason, and 20,000 in all",
        "order": "side, file, row",
    },
)

EVALUATION_CLAIMS = pa.schema(
    [
        _SIDE,
        field("file", pa.string(), "the file that states it"),
        _TASK,
        _METRIC,
        _FILTER,
        field("claimed", pa.float64(), "the value that the file states", "score"),
        field("recomputed", pa.float64(), "the value from the items", "score", nullable=True),
        field("claimed_error", pa.float64(), "the standard error that the file states", "score", nullable=True),
        field("recomputed_error", pa.float64(), "the standard error from the items", "score", nullable=True),
        field("claimed_items", pa.int64(), "the number of items that the file states", "items", nullable=True),
        field("items", pa.int64(), "items that were read", "items"),
        field("outcome", pa.string(), "agrees, differs, or not recomputed"),
        field("reason", pa.string(), "what differs, or why it was not recomputed", nullable=True),
    ],
    metadata={"title": "Aggregate figures, recomputed from items", "order": "side, file, task, metric, filter"},
)

EVALUATION_DIFFERENCES = pa.schema(
    [
        _TASK,
        _METRIC,
        _FILTER,
        field("family", pa.string(), "primary, or other: the tests that p is adjusted with"),
        field("items", pa.int64(), "items that were paired", "items"),
        field("clusters", pa.int64(), "clusters of those items", "clusters"),
        field("only_a", pa.int64(), "items of a that b lacks", "items"),
        field("only_b", pa.int64(), "items of b that a lacks", "items"),
        field("other_prompt", pa.int64(), "items whose prompt differs: incomparable", "items"),
        field("other_version", pa.int64(), "items whose task has another version: incomparable", "items"),
        field("incomparable", pa.string(), "what makes scores incomparable, in words", nullable=True),
        field("unknown_prompt", pa.int64(), "paired items whose prompt is not known on both sides", "items"),
        field("score_a", pa.float64(), "mean of a over the paired items", "score", nullable=True),
        field("score_b", pa.float64(), "mean of b over the paired items", "score", nullable=True),
        field("difference", pa.float64(), "score_b - score_a", "score", nullable=True),
        field("low", pa.float64(), "lower 95 % bound of the difference", "score", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the difference", "score", nullable=True),
        field("error", pa.float64(), "standard error of the difference", "score", nullable=True),
        field("p", pa.float64(), "two-sided p of no difference", "probability", nullable=True),
        field(
            "q", pa.float64(), "p adjusted: Holm in the primary family, Benjamini-Hochberg in the other", nullable=True
        ),
        field("mde", pa.float64(), "difference detected with 80 % power at 5 %, one test", "score", nullable=True),
        field("method", pa.string(), "how interval and p were made"),
        field("reading", pa.string(), "shown, not shown or not enough data, by q alone"),
        field("reason", pa.string(), "the reading in words"),
        field("higher_is_better", pa.bool_(), "whether a higher score is better, where it is known", nullable=True),
        field("epochs_a", pa.float64(), "answers an item of a", "answers", nullable=True),
        field("epochs_b", pa.float64(), "answers an item of b", "answers", nullable=True),
        field("error_answers", pa.float64(), "part of the error from answering again", "score", nullable=True),
        field("error_seeds", pa.float64(), "error from training seeds, on top", "score", nullable=True),
        field("freedom_seeds", pa.float64(), "its degrees of freedom", nullable=True),
        field("error_checkpoints", pa.float64(), "error from neighbouring checkpoints, on top", "score", nullable=True),
        field("freedom_checkpoints", pa.float64(), "its degrees of freedom", nullable=True),
        field("mde_all", pa.float64(), "as mde, with seeds and checkpoints", "score", nullable=True),
    ],
    metadata={"title": "Differences by task", "order": "primary first, then task, metric, filter"},
)

EVALUATION_LEAKS = pa.schema(
    [
        _TASK,
        _METRIC,
        _FILTER,
        field("items", pa.int64(), "paired items that are known to be clean or contaminated", "items"),
        field("contaminated", pa.int64(), "contaminated ones", "items"),
        field("untestable", pa.int64(), "paired items that could not be tested, which are left out", "items"),
        field("clean_a", pa.float64(), "mean of a over the clean ones", "score", nullable=True),
        field("clean_b", pa.float64(), "mean of b over the clean ones", "score", nullable=True),
        field("contaminated_a", pa.float64(), "mean of a over the contaminated ones", "score", nullable=True),
        field("contaminated_b", pa.float64(), "mean of b over the contaminated ones", "score", nullable=True),
        field("gain", pa.float64(), "mean difference on all of them", "score", nullable=True),
        field("gain_clean", pa.float64(), "mean difference on clean items", "score", nullable=True),
        field("gain_contaminated", pa.float64(), "mean difference on contaminated items", "score", nullable=True),
        field(
            "leak",
            pa.float64(),
            "share of contaminated items x (their gain - that of clean ones)",
            "score",
            nullable=True,
        ),
        field("low", pa.float64(), "lower 95 % bound of the leak", "score", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the leak", "score", nullable=True),
        field("p", pa.float64(), "two-sided p of no leak", "probability", nullable=True),
        field("p_permuted", pa.float64(), "p of permuted labels, where items are independent", nullable=True),
        field("q", pa.float64(), "p, Benjamini-Hochberg adjusted over the tasks", nullable=True),
        field("beyond_placebo", pa.float64(), "the leak less that of the placebo pair", "score", nullable=True),
        field("beyond_placebo_low", pa.float64(), "lower bound, 95 % or more", "score", nullable=True),
        field("beyond_placebo_high", pa.float64(), "upper bound, 95 % or more", "score", nullable=True),
        field("at_ceiling", pa.float64(), "share of contaminated items that a has at the highest score", nullable=True),
        field("reading", pa.string(), "shown, not shown or not enough data, by q alone"),
        field("reason", pa.string(), "the reading in words"),
    ],
    metadata={"title": "How much of a difference contaminated items account for", "order": "task, metric, filter"},
)

EVALUATION_REMARKS = pa.schema(
    [
        _SIDE,
        field("file", pa.string(), "the file, or empty"),
        field("what", pa.string(), "kind of the remark, a stable word"),
        field("remark", pa.string(), "what is odd"),
    ],
    metadata={"title": "What is odd about the files", "order": "side, file"},
)

EVALUATION_SCORES = pa.schema(
    [
        _SIDE,
        _TASK,
        _METRIC,
        _FILTER,
        field("items", pa.int64(), "its items, paired or not", "items"),
        field("clusters", pa.int64(), "clusters of them", "clusters"),
        field("score", pa.float64(), "mean over them", "score"),
        field("error", pa.float64(), "its standard error", "score", nullable=True),
        field("low", pa.float64(), "lower 95 % bound", "score", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", "score", nullable=True),
        field("method", pa.string(), "Clopper-Pearson, t, or t with clusters"),
    ],
    metadata={"title": "Scores of each evaluation alone", "order": "side, task, metric, filter"},
)

EVALUATION_NOISE = pa.schema(
    [
        _SIDE,
        _TASK,
        _METRIC,
        _FILTER,
        field("items", pa.int64(), "items that every seed answered", "items"),
        field("variance_items", pa.float64(), "variance of items' expected scores", "score^2"),
        field("variance_epochs", pa.float64(), "mean variance of a score answered again", "score^2", nullable=True),
        field("variance_seeds", pa.float64(), "variance of seeds' expected means", "score^2", nullable=True),
        field("error", pa.float64(), "standard error of the mean over all", "score"),
        field("error_items", pa.float64(), "what items alone would give", "score"),
        field("error_epochs", pa.float64(), "what answering again alone would give", "score", nullable=True),
        field("error_seeds", pa.float64(), "what seeds alone would give", "score", nullable=True),
    ],
    metadata={"title": "Where the noise of scores comes from", "order": "side, task, metric, filter"},
)

EVALUATION_PASSES = pa.schema(
    [
        _SIDE,
        _TASK,
        _METRIC,
        _FILTER,
        field("kind", pa.string(), "pass@k: one of k tries passes; pass^k: all of k tries pass"),
        field("k", pa.int64(), "tries", "tries"),
        field("items", pa.int64(), "items with k tries or more", "items"),
        field("rate", pa.float64(), "mean over items", "share"),
        field("error", pa.float64(), "its standard error, items as sampling units", "share", nullable=True),
        field("low", pa.float64(), "lower 95 % bound", "share", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", "share", nullable=True),
    ],
    metadata={"title": "Chances to pass in k tries", "order": "side, task, metric, filter, k, kind"},
)

COMPARISON_TABLES: dict[str, pa.Schema] = {
    "evaluation_differences": EVALUATION_DIFFERENCES,
    "evaluation_leaks": EVALUATION_LEAKS,
    "evaluation_scores": EVALUATION_SCORES,
    "evaluation_noise": EVALUATION_NOISE,
    "evaluation_passes": EVALUATION_PASSES,
    "evaluation_claims": EVALUATION_CLAIMS,
    "evaluation_remarks": EVALUATION_REMARKS,
    "evaluation_files": EVALUATION_FILES,
    "evaluation_dead_letters": EVALUATION_DEAD_LETTERS,
    **BEHAVIOUR_TABLES,
}
"""File name (without .parquet) of every table of a comparison, and its schema."""

_RUN = field("run", pa.string(), "the training run whose evaluation it is")
_STEP = field("step", pa.int64(), "the step of the run that was evaluated; 0 for a model without steps", "steps")
_PAIR = [
    field("run_a", pa.string(), "the training run of evaluation a"),
    field("step_a", pa.int64(), "its step", "steps"),
    field("run_b", pa.string(), "the training run of evaluation b"),
    field("step_b", pa.int64(), "its step", "steps"),
]


def _of_investigation(schema: pa.Schema) -> pa.Schema:
    """The schema with run and step of an evaluation in place of its side, or with those of a and b."""
    assert schema.metadata is not None
    title, order = (schema.metadata[key].decode() for key in (b"title", b"order"))
    if "side" in schema.names:
        rest = [column for column in schema if column.name != "side"]
        order = order.replace("side", "evaluation as listed")
        return pa.schema([_RUN, _STEP, *rest], metadata={"title": title, "order": order})
    return pa.schema([*_PAIR, *schema], metadata={"title": title, "order": f"comparison, {order}"})


INVESTIGATION_EVALUATION_TABLES = {name: _of_investigation(schema) for name, schema in COMPARISON_TABLES.items()}
"""The same tables for all comparisons of an investigation: rows of an evaluation have its run and step, once."""
