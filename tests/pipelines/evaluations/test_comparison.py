"""Comparisons: what is paired, what is left out and why, which method applies, and what is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_audit.pipelines.evaluations.comparison import Comparison, Side, compare
from corpus_audit.pipelines.evaluations.contaminated import read_contaminated
from corpus_audit.pipelines.evaluations.reading import read_evaluation
from corpus_audit.pipelines.statistics.evaluations.paired import mcnemar, mean_with_error
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg, holm
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.tables.investigation.behaviour_tables import BEHAVIOUR_TABLES
from corpus_audit.schemas.tables.investigation.evaluation_tables import COMPARISON_TABLES
from tests.pipelines.evaluations import making


def flip(scores: list[float], worse: int, better: int = 0) -> list[float]:
    """Scores of 0 and 1 of which so many get worse, and so many better."""
    result = list(scores)
    for wanted, count in ((1.0, worse), (0.0, better)):
        for index in [i for i, score in enumerate(scores) if score == wanted][:count]:
            result[index] = 1 - wanted
    return result


def scores(items: int, seed: int = 0) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).random(items) < 0.6]


def runs(folder: Path, a: Any, b: Any, **more: Any) -> tuple[Side, Side]:
    """Two evaluations of lm-evaluation-harness with these scores by task; ``more`` goes to the second one."""
    making.lm_eval_run(folder / "a", a)
    making.lm_eval_run(folder / "b", b, **more)
    return Side(read_evaluation(folder / "a", "passage")), Side(read_evaluation(folder / "b", "passage"))


def rows(result: Comparison, table: str = "differences") -> dict[str, dict[str, Any]]:
    return {row["task"]: row for row in result.tables[f"evaluation_{table}"].to_pylist()}


def without_clusters(sides: tuple[Side, Side], folder: Path) -> tuple[Side, Side]:
    return Side(read_evaluation(folder / "a")), Side(read_evaluation(folder / "b"))


def test_a_planted_regression_is_shown_and_its_interval_covers(tmp_path: Path) -> None:
    before = scores(1000)
    sides = without_clusters(runs(tmp_path, {"t": before}, {"t": flip(before, 60, 10)}), tmp_path)
    row = rows(compare(*sides, primary=("t",)))["t"]
    assert row["difference"] == pytest.approx(-0.05) and row["low"] < -0.05 < row["high"] < 0
    gain = np.array([-1.0] * 60 + [1.0] * 10 + [0.0] * 930)
    assert row["p"] == pytest.approx(mean_with_error(gain).p, rel=1e-9) and row["q"] == row["p"]
    assert (row["reading"], row["method"], row["items"], row["family"]) == ("shown", "paired t", 1000, "primary")
    assert row["reason"].startswith("b scores 0.05 less than a, worse")


def test_few_items_are_compared_exactly_and_nine_are_not_enough(tmp_path: Path) -> None:
    small, nine = scores(40), scores(9)
    sides = runs(tmp_path, {"few": small, "nine": nine}, {"few": flip(small, 9, 1), "nine": flip(nine, 5)})
    result = rows(compare(*without_clusters(sides, tmp_path)))
    assert result["few"]["p"] == pytest.approx(mcnemar(1, 9)) and "McNemar" in result["few"]["method"]
    assert result["nine"]["reading"] == "not enough data" and result["nine"]["p"] is None
    assert result["nine"]["reason"] == "9 paired items, and 10 are needed"


def test_clusters_are_those_of_the_field(tmp_path: Path) -> None:
    before = scores(400)
    after = [1 - score if (item // 4) % 5 == 0 else score for item, score in enumerate(before)]
    sides = runs(tmp_path, {"t": before}, {"t": after})
    row = rows(compare(*sides))["t"]
    expected = mean_with_error(np.array(after) - np.array(before), np.arange(400) // 4)
    assert (row["clusters"], row["method"]) == (100, "paired t, clustered")
    assert row["error"] == pytest.approx(expected.error) and row["p"] == pytest.approx(expected.p)


def test_a_cluster_field_that_items_lack_is_said(tmp_path: Path) -> None:
    before = scores(40)
    making.lm_eval_run(tmp_path / "a", {"t": before})
    lacking = Side(read_evaluation(tmp_path / "a", "no_such_field"))
    with pytest.raises(UsageError, match="no item has the field 'no_such_field'"):
        compare(lacking, lacking)
    records = [making.lm_eval_sample("t", 0, 1.0), making.lm_eval_sample("t", 1, 1.0, doc={"q": 1})]
    half = Side(read_evaluation(making.write_lines(tmp_path / "samples_t.jsonl", records), "passage"))
    remarks = [row["remark"] for row in compare(half, half).tables["evaluation_remarks"].to_pylist()]
    assert len(remarks) == 2 and remarks[0].startswith("1 of 2 scores have no passage")


def test_too_many_metrics_are_refused(tmp_path: Path) -> None:
    path = making.write_lines(tmp_path / "x.jsonl", [{"id": 1, "metric": f"m{i}", "score": 1} for i in range(20_001)])
    side = Side(read_evaluation(path))
    with pytest.raises(UsageError, match="20,001 tasks, metrics and filters"):
        compare(side, side)


def test_another_prompt_or_version_is_incomparable_and_no_regression(tmp_path: Path) -> None:
    before = scores(100)
    worse = flip(before, 50)
    for name, more in (("prompt", {"prompt": "v2"}), ("version", {"version": 2.0})):
        result = compare(*runs(tmp_path / name, {"t": before}, {"t": worse}, **more))
        row = rows(result)["t"]
        assert row["reading"] == "not enough data" and row["reason"].startswith("incomparable")
        assert row[f"other_{name}"] == 100 and row["items"] == 0 and row["p"] is None
        assert "100 scores have another prompt or task version" in result.sentence


def test_every_item_is_paired_or_counted_as_left_out(tmp_path: Path) -> None:
    a = [making.lm_eval_sample("t", item, 1.0) for item in range(30)]
    b = [making.lm_eval_sample("t", item, 0.0, "v2" if item < 12 else "v1") for item in range(5, 42)]
    making.write_lines(tmp_path / "a" / "samples_t.jsonl", a)
    making.write_lines(tmp_path / "b" / "samples_t.jsonl", b[::-1])
    making.write_lines(tmp_path / "b" / "samples_u.jsonl", [making.lm_eval_sample("u", 0, 1.0)])
    result = rows(compare(*(Side(read_evaluation(tmp_path / side)) for side in "ab")))
    row = result["t"]
    assert [row[name] for name in ("items", "only_a", "only_b", "other_prompt", "other_version")] == [18, 5, 12, 7, 0]
    assert row["score_a"] == 1 and row["score_b"] == 0
    assert result["u"]["only_b"] == 1 and result["u"]["reason"] == "only b has items of it"


def test_a_document_twice_in_a_benchmark_is_two_items_of_one_cluster(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2, (2, 60)).astype(float)
    for side, row in zip("ab", values, strict=True):
        samples = [making.lm_eval_sample("t", item // 2, score, doc_id=item) for item, score in enumerate(row)]
        making.write_lines(tmp_path / side / "samples_t.jsonl", samples)
    row = rows(compare(*(Side(read_evaluation(tmp_path / side)) for side in "ab")))["t"]
    assert (row["items"], row["clusters"]) == (60, 30)
    assert row["error"] == pytest.approx(mean_with_error(values[1] - values[0], np.arange(60) // 2).error)


def test_answers_to_one_item_are_averaged_and_tell_the_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    answers = {side: rng.integers(0, 2, (50, 4)) for side in "ab"}
    for side, table in answers.items():
        records = [
            {"id": item, "trial": trial, "score": int(table[item, trial])} for item in range(50) for trial in range(4)
        ]
        making.write_lines(tmp_path / f"{side}.jsonl", records)
    sides = [Side(read_evaluation(tmp_path / f"{side}.jsonl")) for side in "ab"]
    # Without a column for the task, the task is the name of the file: the same in both.
    (tmp_path / "b").mkdir()
    (tmp_path / "b.jsonl").rename(tmp_path / "b" / "a.jsonl")
    sides[1] = Side(read_evaluation(tmp_path / "b" / "a.jsonl"))
    result = compare(*sides)
    row = rows(result)["a"]
    gain = answers["b"].mean(axis=1) - answers["a"].mean(axis=1)
    assert row["error"] == pytest.approx(gain.std(ddof=1) / np.sqrt(50)) and row["epochs_a"] == 4
    noise = result.tables["evaluation_noise"].to_pylist()[0]
    assert noise["variance_epochs"] == pytest.approx(answers["a"].var(axis=1, ddof=1).mean())
    table = result.tables["evaluation_passes"].to_pylist()
    passes = {(row["side"], row["kind"], row["k"]): row["rate"] for row in table}
    assert passes["a", "pass^k", 4] == pytest.approx(answers["a"].all(axis=1).mean())
    assert passes["b", "pass@k", 4] == pytest.approx(answers["b"].any(axis=1).mean())


def test_rates_of_one_evaluation_have_exact_bounds(tmp_path: Path) -> None:
    making.lm_eval_run(tmp_path / "a", {"harm": [0.0] * 30, "graded": [0.0, 0.5, 1.0] * 20})
    side = Side(read_evaluation(tmp_path / "a"))
    alone = rows(compare(side, side), "scores")
    assert (alone["harm"]["method"], alone["harm"]["low"]) == ("Clopper-Pearson", 0.0)
    assert alone["harm"]["high"] == pytest.approx(0.116, abs=5e-4) and alone["harm"]["error"] is None
    estimate = mean_with_error([0.0, 0.5, 1.0] * 20)
    assert (alone["graded"]["low"], alone["graded"]["high"]) == pytest.approx((estimate.low, estimate.high))
    clustered = Side(read_evaluation(tmp_path / "a", "passage"))
    assert rows(compare(clustered, clustered), "scores")["graded"]["clusters"] == 15


def test_primary_tasks_are_adjusted_by_holm_and_others_by_benjamini_hochberg(tmp_path: Path) -> None:
    before = {name: scores(60, seed) for seed, name in enumerate("pqrstu")}
    after = {name: flip(values, 2 * index, 1) for index, (name, values) in enumerate(before.items())}
    sides = without_clusters(runs(tmp_path, before, after), tmp_path)
    result = rows(compare(*sides, primary=("p", "s:acc", "u")))
    first, others = [[result[name] for name in names] for names in ("psu", "qrt")]
    assert [row["q"] for row in first] == pytest.approx(holm([row["p"] for row in first]))
    assert [row["q"] for row in others] == pytest.approx(benjamini_hochberg([row["p"] for row in others]))
    assert list(result)[:3] == ["p", "s", "u"]
    with pytest.raises(UsageError, match="did you mean s"):
        compare(*sides, primary=("s:accc",))


def test_claims_are_recomputed_and_differences_named(tmp_path: Path) -> None:
    values = scores(200)
    folder = making.lm_eval_run(tmp_path / "a", {"t": values, "u": values})
    path = tmp_path / "a" / "m" / f"results_{making.STAMP}.json"
    document = json.loads(path.read_text())
    document["results"]["t"]["acc,none"] += 0.01
    making.write_json(path, document)
    side = Side(read_evaluation(folder))
    claims = rows(compare(side, side), "claims")
    assert claims["u"]["outcome"] == "agrees"
    assert claims["u"]["recomputed_error"] == pytest.approx(claims["u"]["claimed_error"])
    assert claims["t"]["outcome"] == "differs" and "its items give" in claims["t"]["reason"]


def test_groups_of_groups_are_pooled_over_their_tasks(tmp_path: Path) -> None:
    tasks = {"t": scores(40), "u": scores(60, 1), "v": scores(100, 2)}
    making.lm_eval_run(tmp_path, tasks)
    path = next((tmp_path / "m").glob("results_*.json"))
    document = json.loads(path.read_text())
    document["group_subtasks"] = {"all": ["inner", "t", "all"], "inner": ["u", "v"], "t": []}
    document["results"]["all"] = {"acc,none": sum(map(sum, tasks.values())) / 200}
    document["results"]["inner"] = {"acc,none": float(np.mean([np.mean(tasks["u"]), np.mean(tasks["v"])]))}
    making.write_json(path, document)
    side = Side(read_evaluation(tmp_path))
    claims = rows(compare(side, side), "claims")
    assert {row["outcome"] for row in claims.values()} == {"agrees"}
    assert {name: row["items"] for name, row in claims.items()} == {
        "all": 200,
        "inner": 160,
        "t": 40,
        "u": 60,
        "v": 100,
    }


def test_a_false_error_of_zero_and_missing_items_are_named(tmp_path: Path) -> None:
    values = scores(50)
    making.lm_eval_run(tmp_path, {"t": values, "u": values})
    path = next((tmp_path / "m").glob("results_*.json"))
    document = json.loads(path.read_text())
    document["results"]["t"]["acc_stderr,none"] = 0.0
    making.write_json(path, document)
    samples = next((tmp_path / "m").glob("samples_u_*"))
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:20]))
    side = Side(read_evaluation(tmp_path))
    claims = rows(compare(side, side), "claims")
    assert "standard error of 0" in claims["t"]["reason"]
    assert "the file states 50 items, 20 were read" in claims["u"]["reason"]


def test_aggregates_alone_are_compared_unpaired(tmp_path: Path) -> None:
    def result(value: float, version: int = 0) -> dict[str, Any]:
        error = (value * (1 - value) / 999) ** 0.5
        return {"results": {"t": {"acc": value, "acc_stderr": error}}, "versions": {"t": version}, "config": {}}

    for name, document in (("a", result(0.5)), ("b", result(0.6)), ("c", result(0.6, 1))):
        making.write_json(tmp_path / f"{name}.json", document)
    a, b, c = (Side(read_evaluation(tmp_path / f"{name}.json")) for name in "abc")
    row = rows(compare(a, b))["t"]
    assert (row["method"], row["items"], row["reading"]) == ("aggregates, unpaired", 1000, "shown")
    assert row["error"] == pytest.approx(np.sqrt(0.25 / 999 + 0.24 / 999))
    assert rows(compare(a, c))["t"]["reason"] == "incomparable: another task version (version 0 against version 1)"
    without = {"results": {"t": {"acc,none": 0.6, "acc_stderr,none": "N/A"}}, "n-samples": {"t": {"effective": 1000}}}
    shares = [making.write_json(tmp_path / name, without | {"versions": {}}) for name in ("d.json", "e.json")]
    d, e = (Side(read_evaluation(path)) for path in shares)
    assert rows(compare(d, e))["t"]["error"] == pytest.approx(np.sqrt(2 * 0.24 / 999))
    for path in shares:
        path.unlink()
    both = Side(read_evaluation(tmp_path))
    assert "3 files of b state different values" in rows(compare(a, both))["t"]["reason"]


def test_several_models_need_a_choice(tmp_path: Path) -> None:
    records = [{"model": model, "id": item, "score": item % 2} for model in "xy" for item in range(40)]
    side = read_evaluation(making.write_lines(tmp_path / "items.jsonl", records))
    with pytest.raises(UsageError, match=r"holds 2 models \(x, y\): choose one with --model-a"):
        compare(Side(side), Side(side))
    with pytest.raises(UsageError, match="holds no model 'z'"):
        compare(Side(side, "x"), Side(side, "z"))
    assert rows(compare(Side(side, "x"), Side(side, "y")))["items"]["items"] == 40


def test_a_planted_leak_is_attributed(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    dirty = rng.random(3000) < 0.25
    zero = (rng.random(3000) < 0.5).astype(float)
    before = (rng.random(3000) < 0.5).astype(float)
    after = (rng.random(3000) < np.where(dirty, 0.8, 0.52)).astype(float)
    for name, values in (("zero", zero), ("a", before), ("b", after)):
        making.lm_eval_run(tmp_path / name, {"t": values.tolist()})
    listed = [{"task": "t", "item": item, "contaminated": bool(dirty[item])} for item in range(2900)]
    path = making.write_lines(tmp_path / "contaminated.jsonl", listed)
    zero_side, a, b = (Side(read_evaluation(tmp_path / name)) for name in ("zero", "a", "b"))
    result = compare(a, b, contaminated=read_contaminated(path, None), placebo=zero_side)
    row = rows(result, "leaks")["t"]
    truth = 0.28 * dirty[:2900].mean()
    assert row["low"] < truth < row["high"] and row["reading"] == "shown" and row["p_permuted"] < 0.001
    assert (row["items"], row["untestable"]) == (2900, 100) and row["contaminated"] == dirty[:2900].sum()
    assert row["gain"] == pytest.approx(row["gain_clean"] + row["leak"])
    assert row["beyond_placebo_low"] < truth < row["beyond_placebo_high"]
    null = rows(compare(zero_side, a, contaminated=read_contaminated(path, None)), "leaks")["t"]
    assert null["reading"] == "not shown" and null["low"] < 0 < null["high"]


def test_lists_of_contaminated_items(tmp_path: Path) -> None:
    outcomes = ["contaminated", "boilerplate", "untestable"]
    listed = [
        {"benchmark": "t", "item": str(i), "rule": rule, "outcome": outcome}
        for rule in ("llama2", "gpt3")
        for i, outcome in enumerate(outcomes)
    ]
    path = making.write_lines(tmp_path / "items.jsonl", listed)
    with pytest.raises(UsageError, match="choose one with --rule"):
        read_contaminated(path, None)
    with pytest.raises(UsageError, match="no rule"):
        read_contaminated(path, "x")
    assert read_contaminated(path, "gpt3").status == {"t": {"0": 1, "1": 0, "2": -1}}
    plain = making.write_lines(tmp_path / "plain.jsonl", [{"doc_hash": "h"}])
    assert read_contaminated(plain, None).status == {"": {"h": 1}} and not read_contaminated(plain, None).complete
    for content in ("x y z\n", '{"a": 1}\n{"a": 2}\n'):
        (tmp_path / "bad.jsonl").write_text(content)
        with pytest.raises(UsageError, match="a column 'item'"):
            read_contaminated(tmp_path / "bad.jsonl", None)
    with pytest.raises(UsageError, match="absent"):
        read_contaminated(tmp_path / "absent.jsonl", None)


def test_tables_have_their_schemas(tmp_path: Path) -> None:
    values = scores(30)
    result = compare(*runs(tmp_path, {"t": values}, {"t": flip(values, 3)}))
    assert set(result.tables) == set(COMPARISON_TABLES) - set(BEHAVIOUR_TABLES) - {"evaluation_leaks"}
    for name, table in result.tables.items():
        assert table.schema.equals(COMPARISON_TABLES[name], check_metadata=True), name
    for schema in COMPARISON_TABLES.values():
        assert all((column.metadata or {}).get(b"description") for column in schema)
