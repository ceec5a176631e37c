"""Every format is recognised by its content and read; every row is an item or a dead letter with a reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.evaluations.reading import read_evaluation
from corpus_audit.pipelines.evaluations.records.items import Evaluation
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.tables.investigation.evaluation_tables import EVALUATION_ITEMS
from tests.pipelines.evaluations import making


def rows(evaluation: Evaluation, *columns: str) -> list[tuple[Any, ...]]:
    assert evaluation.items.schema.equals(EVALUATION_ITEMS)
    picked = evaluation.items.select(columns).to_pylist()
    return [tuple(row.values()) for row in picked]


def reasons(evaluation: Evaluation) -> dict[str, int]:
    return {reason: count for (_, reason), count in sorted(evaluation.dead_counts.items())}


def formats(evaluation: Evaluation) -> list[str | None]:
    return [outcome.format for outcome in evaluation.files]


def test_lm_eval_samples_have_the_version_and_model_of_their_results(tmp_path: Path) -> None:
    result = read_evaluation(making.lm_eval_run(tmp_path, {"t_a": [1.0, 0.0, 1.0]}), "passage")
    assert rows(result, "model", "task", "task_version", "item_id", "metric", "filter", "score", "cluster", "row") == [
        ("m", "t_a", "version 1.0, 0-shot", str(i), "acc", "none", score, "0", i + 1)
        for i, score in enumerate([1.0, 0.0, 1.0])
    ]
    (claim,) = result.claims
    assert (claim.task, claim.metric, claim.items) == ("t_a", "acc", 3) and claim.value == pytest.approx(2 / 3)
    assert result.higher_is_better == {("t_a", "acc"): True}
    assert formats(result) == ["lm-evaluation-harness results", "lm-evaluation-harness samples"]


def test_filters_list_metrics_and_bad_rows_of_lm_eval_are_conserved(tmp_path: Path) -> None:
    lines = [
        making.lm_eval_sample("t", 0, 1.0, filter="strict"),
        making.lm_eval_sample("t", 0, 0.0, filter="flexible"),
        making.lm_eval_sample("t", 1, [0.0, 1.0]),
        making.lm_eval_sample("t", 2, "N/A"),
        making.lm_eval_sample("t", 3, None),
        making.lm_eval_sample("t", 4, float("nan")),
        making.lm_eval_sample("t", 5, 1.0, metrics=[]),
        making.lm_eval_sample("t", 6, -1e308),
        {"something": "else"},
    ]
    path = making.write_lines(tmp_path / "samples_t.jsonl", lines)
    with path.open("a") as file:
        file.write('{"doc_id": 9, "acc": \n\n')
    result = read_evaluation(path)
    assert rows(result, "filter", "score") == [("strict", 1.0), ("flexible", 0.0)]
    assert reasons(result) == {
        "no metrics": 1, "no sample": 1, "not JSON": 1, "score is a list or object": 1, "score is text": 1,
        "score missing": 1, "score not finite": 1, "score too large": 1,
    }  # fmt: skip
    (outcome,) = result.files
    assert outcome.rows == 10 == outcome.items + outcome.dead_letters


def test_version_0_3_and_its_number_of_items(tmp_path: Path) -> None:
    document = {
        "results": {
            "winogrande": {"acc": 0.5082872928176796, "acc_stderr": 0.014050555322824192},
            "lambada": {"ppl": 5.02, "ppl_stderr": 0.11, "acc": 0.25, "acc_stderr": "N/A"},
        },
        "versions": {"winogrande": 0, "lambada": 0},
        "config": {"model": "hf", "num_fewshot": 5},
    }
    result = read_evaluation(making.write_json(tmp_path / "r.json", document))
    figures = {(claim.task, claim.metric): (claim.items, claim.error, claim.version) for claim in result.claims}
    assert figures == {
        ("winogrande", "acc"): (1267, 0.014050555322824192, "version 0, 5-shot"),
        ("lambada", "ppl"): (None, 0.11, "version 0, 5-shot"),
        ("lambada", "acc"): (None, None, "version 0, 5-shot"),
    }


@pytest.mark.parametrize("method", [0, 8, 93])
def test_inspect_archives_of_any_compression(tmp_path: Path, method: int) -> None:
    result = read_evaluation(making.inspect_log(tmp_path / "a.eval", ["C", "I", "P", "N", 0.25, "0.5", True], method))
    assert [score for (score,) in rows(result, "score")] == [1.0, 0.0, 0.5, 0.0, 0.25, 0.5, 1.0]
    assert rows(result, "model", "task", "task_version", "metric")[0] == (
        "x/y",
        "suite/t",
        "version 0 cot=false",
        "match",
    )
    assert len({prompt for (prompt,) in rows(result, "prompt_hash")}) == 7
    assert result.remarks == () and result.files[0].reason is None


def test_inspect_headers_are_held_against_the_samples(tmp_path: Path) -> None:
    result = read_evaluation(making.inspect_log(tmp_path / "a.eval", ["C"] * 15, said=790))
    assert [remark.text for remark in result.remarks] == ["the header says 790 samples, the file holds 15"]


def test_a_failed_inspect_run_and_one_without_end(tmp_path: Path) -> None:
    failed = making.inspect_sample(0, None, error={"message": "\x1b[31mdown"})
    members = {
        "samples/0_epoch_1.json": failed,
        "samples/1_epoch_1.json": making.inspect_sample(1, {"a": 1, "b": None}),
    }
    making.write_archive(tmp_path / "a.eval", members | {"header.json": making.inspect_header(2, 0, "error")})
    making.write_archive(tmp_path / "b.eval", {"_journal/start.json": making.inspect_header(2, 0)})
    result = read_evaluation(tmp_path)
    assert rows(result, "metric", "score") == [("match/a", 1.0)]
    assert reasons(result) == {"sample failed": 1, "score missing": 1}
    assert [remark.what for remark in result.remarks] == [
        "failed run", "no results", "unfinished run", "samples missing",
    ]  # fmt: skip


def test_an_inspect_log_as_json(tmp_path: Path) -> None:
    log = making.inspect_header(2, 0.5) | {"samples": [making.inspect_sample(7, "C", 2), making.inspect_sample(8, [1])]}
    result = read_evaluation(making.write_json(tmp_path / "log.json", log))
    assert rows(result, "item", "epoch", "score") == [("7", 2, 1.0)]
    assert reasons(result) == {"score is a list or object": 1}


def test_helm_reads_instances_with_task_and_model_of_the_run(tmp_path: Path) -> None:
    def stat(name: str, mean: float, **more: Any) -> dict[str, Any]:
        return {"name": {"name": name, "split": "test", **more}, "count": 1, "sum": mean, "mean": mean, "stddev": 0.0}

    instances = [
        {"instance_id": "id1", "train_trial_index": 0, "stats": [stat("num_bytes", 9), stat("exact_match", 1)]},
        {"instance_id": "id1", "perturbation": {"name": "typos"}, "stats": [stat("exact_match", 0)]},
        {"instance_id": "id2", "train_trial_index": 1, "stats": [{"name": 3}, stat("num_bytes", 9)]},
        {"id": 3},
    ]  # fmt: skip
    making.write_json(tmp_path / "r" / "per_instance_stats.json", instances)
    spec = {"name": "mmlu:subject=law,model=a_b", "adapter_spec": {"model": "a/b"}}
    making.write_json(tmp_path / "r" / "run_spec.json", spec)
    making.write_json(tmp_path / "r" / "stats.json", [stat("exact_match", 1)])
    result = read_evaluation(tmp_path)
    assert rows(result, "model", "task", "item", "metric", "epoch", "score") == [
        ("a/b", "mmlu:subject=law", "id1", "exact_match", 1, 1.0),
        ("a/b", "mmlu:subject=law", "id1", "exact_match (typos)", 1, 0.0),
    ]
    assert reasons(result) == {
        "no statistic of quality": 1, "no statistics of an instance": 1, "statistic without a name": 1,
    }  # fmt: skip
    assert [bool(outcome.reason) for outcome in result.files] == [False, True, True]


@pytest.mark.parametrize("new", [True, False])
def test_lighteval_details(tmp_path: Path, new: bool) -> None:
    scores = [{"em": 1.0, "f1": None}, {"em": 0.0, "f1": 0.5}]
    if new:
        docs = [{"query": f"q{i}", "choices": ["a"], "id": str(i), "instruction": None} for i in range(2)]
        table = pa.table({"doc": docs, "metric": scores, "model_response": [{"text": "x"}] * 2})
    else:
        table = pa.table({"example": ["q0", "q1"], "full_prompt": ["p q0", "p q1"], "predictions": ["x", "y"],
                          "metrics": [str(score) for score in scores]})  # fmt: skip
    path = tmp_path / "details" / "org" / "model" / "now" / f"details_lighteval|gsm8k|0_{making.STAMP}.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    result = read_evaluation(tmp_path)
    assert rows(result, "task", "item_id", "metric", "score") == [
        ("lighteval|gsm8k|0", "0", "em", 1.0),
        ("lighteval|gsm8k|0", "1", "em", 0.0),
        ("lighteval|gsm8k|0", "1", "f1", 0.5),
    ]


def test_openai_evals(tmp_path: Path) -> None:
    def event(sample: str, kind: str, data: Any) -> dict[str, Any]:
        return {"run_id": "r", "event_id": 0, "sample_id": sample, "type": kind, "data": data, "created_by": ""}

    path = making.write_lines(tmp_path / "log.jsonl", [
        {"spec": {"eval_name": "arith.dev.v0", "completion_fns": ["gpt"], "run_config": {}}},
        event("a.0", "sampling", {"prompt": "1+1", "sampled": ["2"]}),
        event("a.0", "match", {"correct": True, "picked": "2"}),
        event("a.1", "metrics", {"f1": 0.5, "text": "x"}),
        event("a.2", "error", {"type": "E", "message": "down"}),
        {"odd": 1},
        {"final_report": {"accuracy": 1.0, "note": "x"}},
    ])  # fmt: skip
    result = read_evaluation(path)
    assert rows(result, "model", "task", "item", "metric", "score") == [
        ("gpt", "arith.dev.v0", "a.0", "match", 1.0), ("gpt", "arith.dev.v0", "a.1", "f1", 0.5),
    ]  # fmt: skip
    assert reasons(result) == {"no event": 1, "sample failed": 1} and len(result.claims) == 1


def test_every_eval_ever(tmp_path: Path) -> None:
    instance = {"schema_version": "0.3.0", "evaluation_id": "e", "model_id": "m", "evaluation_name": "gsm8k",
                "sample_id": "s1", "sample_hash": "h", "input": {"raw": "q", "reference": []},
                "evaluation": {"score": 0.5, "is_correct": False}, "metadata": {"topic": "law"}}  # fmt: skip
    making.write_lines(
        tmp_path / "i.jsonl", [instance, instance | {"error": "timeout"}, instance | {"evaluation": None}]
    )
    details = {"score": 0.5, "uncertainty": {"standard_error": {"value": 0.1}, "num_samples": 4}}
    result = {"evaluation_name": "gsm8k", "metric_config": {"lower_is_better": False}, "score_details": details}
    making.write_json(tmp_path / "a.json", {"schema_version": "0.3.0", "evaluation_results": [result, {}]})
    read = read_evaluation(tmp_path, "topic")
    assert rows(read, "task", "item", "item_id", "score", "cluster") == [("gsm8k", "h", "s1", 0.5, "law")]
    assert reasons(read) == {"no instance": 1, "no score of the result": 1, "sample failed": 1}
    assert (read.claims[0].value, read.claims[0].error, read.claims[0].items) == (0.5, 0.1, 4)


def test_agents(tmp_path: Path) -> None:
    info = {"exit_status": "submitted", "model_stats": {"api_calls": 5, "instance_cost": 0.5}}
    making.write_json(tmp_path / "x__y-1.traj", {"trajectory": [{}, {}], "info": info, "history": []})
    making.write_json(tmp_path / "report.json", {"resolved_ids": ["a"], "submitted_ids": ["a", "b", "c"],
                                                 "error_ids": ["c"], "resolved_instances": 1})  # fmt: skip
    policy = [{"role": "system", "content": "# Retail Agent Policy\n..."}]
    tries = [
        {"task_id": 3, "trial": trial, "reward": 1.0, "info": {"task": {"q": 1}}, "traj": policy} for trial in (0, 1)
    ]
    making.write_json(tmp_path / "tau.json", [*tries, tries[0] | {"info": {"error": "down"}}])
    result = read_evaluation(tmp_path)
    assert set(rows(result, "task", "item", "metric", "epoch", "score")) == {
        ("SWE-agent", "x__y-1", "submitted", 1, 1.0),
        ("SWE-bench", "a", "resolved", 1, 1.0), ("SWE-bench", "b", "resolved", 1, 0.0),
        ("tau-bench retail", "3", "reward", 1, 1.0), ("tau-bench retail", "3", "reward", 2, 1.0),
    }  # fmt: skip
    assert reasons(result) == {"sample failed": 1, "scoring failed": 1}
    attempt = next(each for each in result.trajectories if each.task == "SWE-agent")
    assert attempt.usage == {"steps": 2.0, "calls": 5.0, "cost": 0.5} and attempt.ended == "submitted"


def test_alpaca_eval(tmp_path: Path) -> None:
    given = {"instruction": "i", "output_1": "", "generator_1": "base", "output_2": "", "generator_2": "m"}
    values = [1, 2, 1.5, 0, 1.25, None, 7]
    annotations = [given | {"instruction": str(i), "preference": value} for i, value in enumerate(values)]
    result = read_evaluation(making.write_json(tmp_path / "annotations.json", annotations))
    assert [score for (score,) in rows(result, "score")] == [0.0, 1.0, 0.5, 0.5, 0.25]
    assert reasons(result) == {"preference outside 1 to 2": 1, "score missing": 1}


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "json", "parquet"])
def test_named_columns(tmp_path: Path, ending: str) -> None:
    records = [
        {"task": "t", "id": f"00{i}", "correct": value, "trial": i, "subject": "law"}
        for i, value in enumerate([1, 0, 1])
    ]
    path = tmp_path / f"items.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif ending == "json":
        path.write_bytes(b"\xef\xbb\xbf" + json.dumps(records, indent=1).encode())
    elif ending == "jsonl":
        making.write_lines(path, records)
    else:
        text = "task,id,correct,trial,subject\n" + "".join(",".join(map(str, row.values())) + "\n" for row in records)
        text += "t,009,oops,0,law\nt,010,1\n"
        path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    result = read_evaluation(path, "subject")
    assert rows(result, "task", "item", "metric", "epoch", "score", "cluster") == [
        ("t", f"00{i}", "correct", i, float(value), "law") for i, value in enumerate([1, 0, 1])
    ]
    assert reasons(result) == ({"another number of columns": 1, "score is text": 1} if "csv" in ending else {})


def test_what_is_not_understood_is_listed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04\x95\x00")
    making.write_json(tmp_path / "config.json", {"a": 1})
    result = read_evaluation(tmp_path)
    assert result.items.num_rows == 0 and all(outcome.reason and not outcome.format for outcome in result.files)
    assert len(result.files) == 4
    with pytest.raises(UsageError, match="no such file"):
        read_evaluation(tmp_path / "absent")
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="holds no file"):
        read_evaluation(tmp_path / "none")


def test_lines_before_the_first_record_are_dead_letters(tmp_path: Path) -> None:
    (tmp_path / "samples_t.jsonl").write_text(
        "WARNING: something\n[1]\n" + json.dumps(making.lm_eval_sample("t", 0, 1.0)) + "\n"
    )
    result = read_evaluation(tmp_path)
    assert rows(result, "task", "score", "row") == [("t", 1.0, 3)]
    assert reasons(result) == {"no sample": 1, "not JSON": 1}


def test_a_label_of_any_type_is_text(tmp_path: Path) -> None:
    path = making.write_lines(
        tmp_path / "x.jsonl", [{"id": True, "score": 1}, {"id": 1.5, "score": 0}, {"id": {}, "score": 1}]
    )
    result = read_evaluation(path)
    assert rows(result, "item") == [("true",), ("1.5",)] and reasons(result) == {"item missing": 1}
    assert json.loads(json.dumps(rows(result, "file"))) == [["x.jsonl"]] * 2
