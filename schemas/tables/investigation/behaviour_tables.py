"""Arrow schemas of how models behave beyond scores: attempts of agents, where they part, refusals, harm, passes."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

_SIDE = field("side", pa.string(), "evaluation a, b or placebo")
_TASK = field("task", pa.string(), "the task (benchmark) as the evaluation names it")
_METRIC = field("metric", pa.string(), "the metric")
_FILTER = field("filter", pa.string(), "how the answer was extracted; empty where there is one way only")
_COUNTED = field("counted", pa.string(), "which scores of the metric are counted")
_KIND = field("kind", pa.string(), "refusal or harm")
_LEFT_OUT = [
    field("only_a", pa.int64(), "items of a that b lacks", "items"),
    field("only_b", pa.int64(), "items of b that a lacks", "items"),
    field("incomparable", pa.int64(), "items with another prompt or task version", "items"),
]
_TESTED = [
    field("p", pa.float64(), "two-sided p of no difference", "probability", nullable=True),
    field("q", pa.float64(), "p, Benjamini-Hochberg adjusted over all tests but those of scores", nullable=True),
    field("method", pa.string(), "how interval and p were made"),
    field("reading", pa.string(), "shown, not shown or not enough data"),
    field("reason", pa.string(), "the reading in words"),
]


def _compared(unit: str, what: str, detectable: str) -> list[pa.Field]:
    """Columns of a comparison whose effect has this unit."""
    return [
        field("items", pa.int64(), "items that were paired", "items"),
        field("clusters", pa.int64(), "clusters of those items", "clusters"),
        field("value_a", pa.float64(), f"{what} of a", unit, nullable=True),
        field("value_b", pa.float64(), f"{what} of b", unit, nullable=True),
        field("effect", pa.float64(), "b compared with a", unit, nullable=True),
        field("low", pa.float64(), "lower 95 % bound of the effect", unit, nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the effect", unit, nullable=True),
        field("mde", pa.float64(), detectable, unit, nullable=True),
    ]


_DETECTABLE = "difference detected with 80 % power at 5 %, one test"

EVALUATION_TRAJECTORIES = pa.schema(
    [
        _SIDE,
        _TASK,
        field("item", pa.string(), "the item"),
        field("epoch", pa.int32(), "which attempt at the item, from 1"),
        field("solved", pa.bool_(), "whether it passed, where that is known", nullable=True),
        field("ended", pa.string(), "how it ended, where the file says so"),
        field("actions", pa.int64(), "actions of the agent that are kept", "actions"),
        field("errors", pa.int64(), "errors of tools", "errors"),
        field("steps", pa.float64(), "steps of the agent", "steps", nullable=True),
        field("calls", pa.float64(), "calls of the model", "calls", nullable=True),
        field("cost", pa.float64(), "cost that the file states", "as in the file", nullable=True),
        field("tokens", pa.float64(), "tokens in all", "tokens", nullable=True),
        field("tokens_sent", pa.float64(), "tokens sent to the model", "tokens", nullable=True),
        field("tokens_received", pa.float64(), "tokens of the model's answers", "tokens", nullable=True),
        field("time", pa.float64(), "time", "s", nullable=True),
        field("working_time", pa.float64(), "time without waiting for rate limits", "s", nullable=True),
        field("time_of_tools", pa.float64(), "time that tools took", "s", nullable=True),
        field("file", pa.string(), "the file, relative to the evaluation"),
        field("row", pa.int64(), "row of the file, or member of the archive, from 1"),
    ],
    metadata={"title": "Attempts of agents", "order": "side, task, item, epoch"},
)

EVALUATION_USAGE = pa.schema(
    [
        _TASK,
        field("metric", pa.string(), "steps, cost, tokens, time, errors, or a kind of error or ending"),
        field("scope", pa.string(), "all attempts, or those that were solved on both sides"),
        field("scale", pa.string(), "ratio of geometric means, or difference of means or shares"),
        *_compared(
            "as the scale says",
            "geometric mean, or mean,",
            "ratio above 1, or difference, detected with 80 % power at 5 %, one test",
        ),
        field("left_out", pa.int64(), "items with an amount that is missing or, for ratios, 0", "items"),
        *_LEFT_OUT,
        *_TESTED,
    ],
    metadata={"title": "What agents spend, and their errors", "order": "task, metric, scope"},
)

EVALUATION_PATHS = pa.schema(
    [
        _TASK,
        field("pairs", pa.int64(), "pairs of attempts, one of each evaluation", "pairs"),
        field("identical", pa.int64(), "pairs with the same actions from first to last", "pairs"),
        field("environment", pa.int64(), "pairs in which a tool or user answered otherwise before they part", "pairs"),
        field("median_equal", pa.float64(), "equal actions before they part, median", "actions", nullable=True),
        *_compared("actions", "equal first actions of two attempts: within one model for a, between both for b,",
                   _DETECTABLE),
        *_LEFT_OUT,
        *_TESTED,
    ],
    metadata={"title": "Whether models part earlier than attempts of one model do", "order": "task"},
)  # fmt: skip

EVALUATION_PARTINGS = pa.schema(
    [
        _TASK,
        field("item", pa.string(), "the item"),
        field("equal", pa.int64(), "equal actions before they part", "actions"),
        field("identical", pa.bool_(), "whether all actions are equal"),
        field("environment", pa.bool_(), "whether a tool or a user answered otherwise before they part"),
        *(
            column
            for side in "ab"
            for column in (
                field(f"epoch_{side}", pa.int32(), f"which attempt of {side}"),
                field(f"solved_{side}", pa.bool_(), f"whether {side} passed, where that is known", nullable=True),
                field(f"actions_{side}", pa.int64(), f"actions of {side}", "actions"),
                field(f"file_{side}", pa.string(), f"file of {side}"),
                field(f"unit_{side}", pa.string(), "what the location counts"),
                field(f"location_{side}", pa.int64(), "of the first action that differs", nullable=True),
                field(f"action_{side}", pa.string(), "the action's first 120 characters; null if ended", nullable=True),
            )
        ),
    ],
    metadata={"title": "Where two attempts at an item part", "order": "task, item, epoch"},
)

EVALUATION_SAFETY = pa.schema(
    [
        _SIDE,
        _KIND,
        _TASK,
        _METRIC,
        _FILTER,
        _COUNTED,
        field("items", pa.int64(), "its items, paired or not", "items"),
        field("clusters", pa.int64(), "clusters of them", "clusters"),
        field("answers", pa.int64(), "answers to them", "answers"),
        field("events", pa.int64(), "answers that are counted", "answers"),
        field("rate", pa.float64(), "share of answers that are counted, mean over items", "share"),
        field("low", pa.float64(), "lower 95 % bound", "share"),
        field("high", pa.float64(), "upper 95 % bound", "share"),
        field("method", pa.string(), "Clopper-Pearson, of items or of effective items"),
    ],
    metadata={"title": "Refusals and harmful answers", "order": "side, kind, task, metric, filter"},
)

EVALUATION_SAFETY_DIFFERENCES = pa.schema(
    [_KIND, _TASK, _METRIC, _FILTER, _COUNTED, *_compared("share", "rate", _DETECTABLE), *_LEFT_OUT, *_TESTED],
    metadata={"title": "Differences in refusals and harmful answers", "order": "kind, task, metric, filter"},
)

EVALUATION_SAFETY_FLIPS = pa.schema(
    [
        _KIND,
        _TASK,
        _METRIC,
        _FILTER,
        _COUNTED,
        field("item", pa.string(), "what items are paired by"),
        field("item_id", pa.string(), "the item's id in the file of a"),
        field("counts_in_b", pa.bool_(), "whether it counts in b, and not in a; else in a, and not in b"),
        *(
            column
            for side in "ab"
            for column in (
                field(f"score_{side}", pa.float64(), f"score of {side}", "score"),
                field(f"file_{side}", pa.string(), f"file of {side}"),
                field(f"row_{side}", pa.int64(), "row of the file, or member of the archive, from 1"),
            )
        ),
    ],
    metadata={
        "title": "Answers that count in one evaluation only, at most 200 a metric",
        "order": "kind, task, metric, filter, those that count in b first",
    },
)

EVALUATION_PASS_DIFFERENCES = pa.schema(
    [
        _TASK,
        _METRIC,
        _FILTER,
        field("kind", pa.string(), "pass@k: one of k tries passes; pass^k: all of k tries pass"),
        field("k", pa.int64(), "tries: as many as both have", "tries"),
        *_compared("share", "chance", _DETECTABLE),
        field("fewer_tries", pa.int64(), "items of a and b with fewer than k tries", "items"),
        *_LEFT_OUT,
        *_TESTED,
    ],
    metadata={"title": "Differences in chances to pass in k tries", "order": "task, metric, filter, kind"},
)

BEHAVIOUR_TABLES: dict[str, pa.Schema] = {
    "evaluation_safety": EVALUATION_SAFETY,
    "evaluation_safety_differences": EVALUATION_SAFETY_DIFFERENCES,
    "evaluation_safety_flips": EVALUATION_SAFETY_FLIPS,
    "evaluation_pass_differences": EVALUATION_PASS_DIFFERENCES,
    "evaluation_trajectories": EVALUATION_TRAJECTORIES,
    "evaluation_usage": EVALUATION_USAGE,
    "evaluation_paths": EVALUATION_PATHS,
    "evaluation_partings": EVALUATION_PARTINGS,
}
"""File name (without .parquet) of every table of a comparison that is about more than scores, and its schema."""
