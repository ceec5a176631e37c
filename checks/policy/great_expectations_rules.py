"""A policy's rules as Great Expectations expectations: the one module that imports it (seconds, and 200 MB).

Great Expectations passes vacuously (no rows: success), forgets rules that differ only in their meta, and lets a crashed
check look harmless. So a rule here is a `BatchExpectation` of our own that looks at the whole table of metrics and
fails closed, its ``policy_id`` is a field, and the statuses of its slices stand in its result.

``python -m corpus_audit.checks.policy.great_expectations_rules`` is the child process of
`checks.policy.great_expectations_export`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # wheels before 1.10 sent telemetry

import great_expectations as gx
import pandas as pd
import pyarrow as pa
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from corpus_audit.checks.policy.basis import Judging
from corpus_audit.checks.policy.judge import Row, Slices, rule_judgements
from corpus_audit.pipelines.storage.run_directory import read_run_table
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.results import Reference, Status
from corpus_audit.schemas.spec.policy import Rule
from corpus_audit.schemas.spec.policy_file import LoadedPolicy, read_policy

METRIC = "table.corpus_audit_figures"
COLUMNS = ("slice", "value", "n", "low", "high", "unit", "reason")


class AuditFigures(TableMetricProvider):
    """The rows of one metric of the table of metrics, as lists in the order of `COLUMNS`."""

    metric_name = METRIC
    value_keys = ("metric",)

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(
        cls,
        execution_engine: Any,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> list[list[Any]]:
        table, _, _ = execution_engine.get_compute_domain(metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE)
        rows = table[table["metric"] == metric_value_kwargs["metric"]]
        nothing = [None] * len(rows)  # runs of earlier versions, and other people's frames, have no reasons
        columns = (_values(rows[column]) if column in rows else nothing for column in COLUMNS)
        return [list(row) for row in zip(*columns, strict=True)]


def _values(column: pd.Series) -> list[Any]:
    """A column's values; in one of numbers, as other people's frames have it, NaN stands for null."""
    if column.dtype == object:
        return list(column)
    return list(column.astype(object).where(column.notna(), None))


class ExpectAuditRuleToHold(BatchExpectation):
    """Expect a rule of a corpus-audit policy to hold for every slice that it names.

    ``success`` is true if every slice passes; the statuses are in the result's details. ``references`` hold what the
    figures were compared with, one entry a slice.
    """

    policy_id: str
    metric: str
    slice_pattern: str = "all"
    judged: str = "interval"
    warn_minimum: float | None = None
    warn_maximum: float | None = None
    fail_minimum: float | None = None
    fail_maximum: float | None = None
    minimum_n: int = 1
    reference_kind: str | None = None
    compare: str | None = None
    references: list[dict[str, Any]] | None = None

    metric_dependencies: ClassVar[tuple[str, ...]] = (METRIC,)
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)
    success_keys: ClassVar[tuple[str, ...]] = (
        "policy_id", "metric", "slice_pattern", "judged", "warn_minimum", "warn_maximum", "fail_minimum",
        "fail_maximum", "minimum_n", "reference_kind", "compare", "references",
    )  # fmt: skip
    args_keys: ClassVar[tuple[str, ...]] = ("policy_id", "metric", "slice_pattern")

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        slices: Slices = {}
        for values in metrics[METRIC]:
            row: Row = dict(zip(COLUMNS, values, strict=True))
            slices.setdefault(row["slice"], []).append(row)
        rule = self._rule()
        known = {
            (rule.id, one["slice"]): Reference.model_validate(one["reference"], strict=False)
            for one in self.references or ()
        }
        judgements = list(rule_judgements(rule, slices, known, None, Judging()))
        passing = [one for one in judgements if one.status is Status.PASS]
        details = [
            {"slice": one.slice, "status": one.status.value, "observed": one.observed, "reason": one.reason}
            for one in judgements
        ]
        return {
            "success": bool(judgements) and len(passing) == len(judgements),
            "result": {
                "observed_value": f"{len(passing)} of {len(judgements)} slices pass",
                "details": {"slices": details},
            },
        }

    def _rule(self) -> Rule:
        """The rule again, without the texts that only people need."""
        reference = None
        if self.reference_kind is not None:
            reference = {"kind": self.reference_kind, "compare": self.compare}
            if self.reference_kind == "pinned":
                reference["run"] = "pinned"
        return Rule.model_validate(
            {
                "id": self.policy_id,
                "title": self.policy_id,
                "metric": self.metric,
                "slice": self.slice_pattern,
                "judged": self.judged,
                "warn": _range(self.warn_minimum, self.warn_maximum),
                "fail": _range(self.fail_minimum, self.fail_maximum),
                "minimum_n": self.minimum_n,
                "reference": reference,
                "owner": "-",
                "rationale": "-",
            }
        )


def _range(minimum: float | None, maximum: float | None) -> dict[str, float | None] | None:
    return None if minimum is None and maximum is None else {"minimum": minimum, "maximum": maximum}


@dataclass(frozen=True)
class Evaluation:
    """Great Expectations' JSON of a suite and its results: sorted by policy id, without ids and times."""

    suite: dict[str, Any]
    validation: dict[str, Any]


def evaluate(
    policy: LoadedPolicy,
    metrics: pa.Table,
    references: Mapping[tuple[str, str], Reference],
    sampled: bool = False,
) -> Evaluation:
    """Run the rules of a policy as one suite over a table of metrics, in this process.

    The expectations name the figure that each rule judges: ``auto`` is resolved here. ``sampled`` says whether
    only a part of the corpus was read.

    Raises:
        RuntimeError: it returned another number of results than there are rules.
    """
    context = gx.get_context(mode="ephemeral")  # without a mode it would look for a cloud or a project folder
    context.variables.progress_bars = {"globally": False}
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for (rule_id, slice_), reference in sorted(references.items()):
        by_rule.setdefault(rule_id, []).append({"slice": slice_, "reference": reference.model_dump(mode="json")})
    rules = sorted(policy.policy.rules, key=lambda rule: rule.id)
    expectations = [_expectation(rule, by_rule.get(rule.id, []), Judging(sampled)) for rule in rules]
    suite = context.suites.add(gx.ExpectationSuite(name=policy.policy.name, expectations=expectations))
    asset = context.data_sources.add_pandas("corpus-audit").add_dataframe_asset("metrics")
    batch = asset.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="rules", data=batch, suite=suite))
    result = definition.run(batch_parameters={"dataframe": _frame(metrics)}, result_format="COMPLETE")
    if len(result.results) != len(rules) or len(suite.expectations) != len(rules):
        raise RuntimeError(f"{len(result.results)} results for {len(rules)} rules")
    return Evaluation(
        _suite_json(suite.to_json_dict()),
        _validation_json(result.to_json_dict()),
    )


def _expectation(rule: Rule, references: list[dict[str, Any]], judging: Judging) -> ExpectAuditRuleToHold:
    warn, fail = rule.warn, rule.fail
    return ExpectAuditRuleToHold(
        policy_id=rule.id,
        metric=rule.metric,
        slice_pattern=rule.slice,
        judged=judging.figure(rule)[0],
        warn_minimum=warn.minimum if warn else None,
        warn_maximum=warn.maximum if warn else None,
        fail_minimum=fail.minimum if fail else None,
        fail_maximum=fail.maximum if fail else None,
        minimum_n=rule.minimum_n,
        reference_kind=rule.reference.kind if rule.reference else None,
        compare=rule.reference.compare if rule.reference else None,
        references=references or None,
        severity="critical" if fail else "warning",
        meta={"title": rule.title, "owner": rule.owner, "rationale": rule.rationale},
    )


def _frame(metrics: pa.Table) -> pd.DataFrame:
    """The table as objects, so that null stays apart from NaN and integers stay exact."""
    return pd.DataFrame({name: pd.Series(metrics[name].to_pylist(), dtype=object) for name in metrics.schema.names})


def _exception(info: Any) -> str:
    """The exception's message: of the expectation, or of the first metric that failed."""
    if not isinstance(info, dict):
        return ""
    first = info if "raised_exception" in info else next(iter(info.values()), {})
    text = str(first.get("exception_message") or "").strip() if first.get("raised_exception") else ""
    return f"{text.splitlines()[0][:200].rstrip('.')}." if text else ""


def _suite_json(suite: dict[str, Any]) -> dict[str, Any]:
    expectations = [
        {key: value for key, value in one.items() if key != "id"} | {"kwargs": _kwargs(one["kwargs"])}
        for one in suite["expectations"]
    ]
    expectations.sort(key=lambda one: str(one["kwargs"]["policy_id"]))
    return {"name": suite["name"], "meta": suite.get("meta") or {}, "expectations": expectations}


def _validation_json(result: dict[str, Any]) -> dict[str, Any]:
    results = []
    for one in result["results"]:
        config = one["expectation_config"]
        shown = {key: config[key] for key in ("type", "severity", "meta") if key in config}
        info = one.get("exception_info") or {}
        results.append(
            {
                "success": one["success"],
                "expectation_config": shown | {"kwargs": _kwargs(config["kwargs"])},
                "result": one.get("result") or {},
                "exception_info": {"raised_exception": bool(_exception(info)), "exception_message": _exception(info)},
            }
        )
    results.sort(key=lambda one: str(one["expectation_config"]["kwargs"]["policy_id"]))
    return {
        "success": result["success"],
        "suite_name": result["suite_name"],
        "statistics": result["statistics"],
        "results": results,
        "meta": {"great_expectations_version": gx.__version__},
    }


def _kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if key != "batch_id"}


def main() -> None:
    """Answer one request: JSON on standard input, suite and results as JSON on standard output."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no part of the answer
    logging.disable(logging.CRITICAL)
    request = strict_json.loads(sys.stdin.buffer.read())
    references = {
        (one["rule"], one["slice"]): Reference.model_validate(one["reference"], strict=False)
        for one in request["references"]
    }
    metrics = read_run_table(Path(request["run"]), "metrics")
    evaluation = evaluate(read_policy(request["policy"].encode()), metrics, references, request["sampled"])
    answer.write(strict_json.dumps({"suite": evaluation.suite, "validation": evaluation.validation}))
    answer.close()


if __name__ == "__main__":
    main()
