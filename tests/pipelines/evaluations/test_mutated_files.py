"""Any value in any place of an evaluation file: rows become items or dead letters, and nothing else is raised."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.pipelines.evaluations.comparison import Side, compare
from corpus_audit.pipelines.evaluations.reading import read_evaluation
from corpus_audit.schemas.errors import UsageError
from tests.pipelines.evaluations import making

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "N/A",
    [],
    [None],
    {},
    {"a": {}},
    10**25,
    1e308,
)

_EEE = {"schema_version": "1", "evaluation_id": "e", "model_id": "m", "evaluation_name": "t", "sample_id": "s",
        "sample_hash": "h", "input": {"raw": "q"}, "evaluation": {"score": 0.5}, "evaluation_result_id": "e/acc",
        "metadata": {"topic": "x"}}  # fmt: skip
_EEE_RESULT = {"evaluation_name": "t", "evaluation_result_id": "e/acc", "metric_config": {"lower_is_better": True},
               "score_details": {"score": 1, "uncertainty": {"standard_error": {"value": 1}}}}  # fmt: skip
_EVENT = {"run_id": "r", "event_id": 0, "sample_id": "a", "type": "match", "data": {"correct": True}}
_HELM = {"instance_id": "i", "train_trial_index": 0, "perturbation": {"name": "typos", "computed_on": "x"},
         "stats": [{"name": {"name": "em", "split": "t", "perturbation": {}}, "count": 1, "mean": 1.0}]}  # fmt: skip
_TAU = {"task_id": 1, "trial": 0, "reward": 1.0, "info": {"task": {"a": 1}, "error": None},
        "traj": [{"role": "system", "content": "# Retail Agent Policy"}]}  # fmt: skip

DOCUMENTS: dict[str, Any] = {
    "results.json": {
        "results": {"t": {"acc,none": 0.5, "acc_stderr,none": 0.1, "alias": "t"}, "g": {"acc,none": 0.5}},
        "versions": {"t": 1.0}, "n-shot": {"t": 5}, "n-samples": {"t": {"effective": 26}}, "config": {"model": "m"},
        "higher_is_better": {"t": {"acc": True}}, "group_subtasks": {"g": ["t"]}, "model_name": "m",
    },
    "old.json": {"results": {"t": {"2022": {"acc": 0.5, "acc_stderr": 0.1}, "2023": {"acc": 0.6}}}},
    "samples_t.jsonl": [making.lm_eval_sample("t", item, 1.0) for item in range(3)],
    "log.json": making.inspect_header(2, 0.5)
    | {"samples": [making.inspect_sample(1, "C"), making.inspect_sample(2, {"a": 1}, error={"message": "x"})]},
    "per_instance_stats.json": [_HELM, _HELM],
    "events.jsonl": [{"spec": {"eval_name": "e", "completion_fns": ["m"]}}, _EVENT,
                     _EVENT | {"type": "metrics", "data": {"f1": 1}},
                     _EVENT | {"type": "sampling", "data": {"prompt": [{"role": "user"}]}},
                     {"final_report": {"accuracy": 1.0}}],
    "instances.jsonl": [_EEE, _EEE],
    "aggregate.json": {"schema_version": "1", "evaluation_id": "e", "model_info": {"id": "m"},
                       "evaluation_results": [_EEE_RESULT]},
    "x.traj": {"trajectory": [{}], "info": {"exit_status": "submitted", "model_stats": {"api_calls": 1}}},
    "report.json": {"resolved_ids": ["a"], "submitted_ids": ["a", "b"], "error_ids": [], "resolved_instances": 1},
    "tau.json": [_TAU, _TAU | {"trial": 1}],
    "annotations.json": [{"instruction": "i", "generator_1": "a", "generator_2": "b", "preference": 1.5}],
    "named.jsonl": [{"task": "t", "id": i, "score": 1, "metric": "m", "epoch": 1, "seed": 2} for i in range(2)],
}  # fmt: skip


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of every value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, part in inner for spot in spots(part, (*path, key)))]


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    result = copy.deepcopy(document)
    at = result
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return result


def write(path: Path, document: Any) -> None:
    lines = path.suffix == ".jsonl" and isinstance(document, list)
    path.write_text("".join(json.dumps(row) + "\n" for row in document) if lines else json.dumps(document))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_any_value_in_any_place(tmp_path: Path, name: str) -> None:
    document = DOCUMENTS[name]
    path = tmp_path / name
    write(path, document)
    assert read_evaluation(path).files[0].format is not None
    rng = random.Random(5)
    for spot in spots(document):
        for value in rng.sample(ODD, 1):
            write(path, replaced(document, spot, value))
            evaluation = read_evaluation(path, "topic")
            (outcome,) = evaluation.files
            assert outcome.format or outcome.reason
            assert outcome.items == evaluation.items.num_rows
            assert outcome.dead_letters == sum(evaluation.dead_counts.values())
    side = Side(read_evaluation(path))
    try:
        compare(side, side)
    except UsageError as error:
        assert "neither evaluation" in str(error) or "models" in str(error)
