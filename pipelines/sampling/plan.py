"""The sampling plan of a strategy: shares, epochs and caps by domain, for a training job to follow."""

from __future__ import annotations

import json

import pyarrow as pa
from pydantic import ValidationError

from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.run.signoff import DigestSet, DomainPlan, Plan
from corpus_audit.schemas.spec.sampling import SamplingSpec, UnimaxStrategy, strategy_name


def plan_of(facts: RunFile, sampling: pa.Table, summaries: pa.Table, strategy: str, epoch_cap: float | None) -> Plan:
    """The plan of one strategy.

    Args:
        facts: the run's `run.json`.
        sampling, summaries: tables SAMPLING and SAMPLING_STRATEGIES.
        strategy: its name in these tables.
        epoch_cap: most epochs of a domain, if the strategy has such a cap.

    Raises:
        UsageError: there is no such strategy.
        StoreError: the tables do not hold weights of one unit.
    """
    known = summaries.column("strategy").to_pylist()
    if strategy not in known:
        raise UsageError(f"the run has no strategy {strategy!r}; it has {', '.join(map(repr, known)) or 'none'}")
    summary = next(row for row in summaries.to_pylist() if row["strategy"] == strategy)
    rows = [row for row in sampling.to_pylist() if row["strategy"] == strategy]
    units = {row["weight_unit"] for row in rows}
    if any(row["weight"] is None for row in rows) or len(units) != 1:
        raise StoreError(f"the strategy {strategy!r} has no weights of one unit")
    return Plan(
        strategy=strategy,
        kind=summary["kind"],
        snapshot=facts.snapshot.digest,
        tokenizer=DigestSet(sha256=facts.tokenizer.sha256),
        unit=units.pop(),
        tokens=repr(float(summary["budget"])),
        epoch_cap=None if epoch_cap is None else repr(float(epoch_cap)),
        domains=tuple(
            DomainPlan(
                domain=row["domain"],
                weight=repr(float(row["weight"])),
                tokens=repr(float(row["drawn"])),
                epochs=None if row["epochs"] is None else repr(float(row["epochs"])),
            )
            for row in sorted(rows, key=lambda row: str(row["domain"]).encode())
        ),
    )


def strategies_of(facts: RunFile) -> dict[str, float | None]:
    """The strategies of an audit's `sampling:` section by name, each with its cap on epochs or None.

    Raises:
        StoreError: the sampling section in `run.json` is not valid.
    """
    section = facts.spec.get("sampling")
    if section is None:
        return {}
    try:
        spec = SamplingSpec.model_validate_json(json.dumps(section))
    except ValidationError as error:
        raise StoreError(f"run.json: spec.sampling is not valid: {error}") from None
    return {
        strategy_name(strategy): strategy.unimax.epoch_cap if isinstance(strategy, UnimaxStrategy) else None
        for strategy in spec.strategies
    }
