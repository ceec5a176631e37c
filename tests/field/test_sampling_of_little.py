"""evidently#241, the kind, for `sampling:`: one domain, domains without a token, budgets of nothing, absent weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.sampling.strategies_report import sampling_tables
from corpus_audit.runners.terminal.sampling import sampling_summary
from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.spec.sampling import SamplingSpec
from corpus_audit.schemas.tables.sampling_tables import SAMPLING, SAMPLING_STRATEGIES
from tests.pipelines.finished_run import finished_run

STRATEGIES = (
    "proportional",
    {"temperature": {"alpha": 0.0}, "name": "even"},
    {"temperature": {"alpha": 10.0}, "name": "steep"},
    {"unimax": {"epoch_cap": 0.001}},
    {"weights": {"absent": 1.0}, "name": "absent"},
    {"weights": {"absent": 1.0, "a": 1e-300}, "unit": "documents", "name": "nearly absent"},
    {"weights": {"a": 1.0}, "unit": "documents", "name": "one"},
)
SIZES = st.lists(st.sampled_from([0, 1, 2, 70_000]), min_size=1, max_size=4)


@settings(deadline=None, max_examples=40)
@given(SIZES, st.sampled_from([1.0, 3.0, 1e15]))
def test_every_figure_is_a_number_or_null(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], budget: float
) -> None:
    domains = {name: (2, 1, 2 * size, size) for name, size in zip("abcd", sizes, strict=False)}
    run = finished_run(tmp_path_factory.mktemp("run") / "run", domains)
    spec = SamplingSpec(budget=budget, parameters=1e6, strategies=STRATEGIES)
    if not any(sizes):
        with pytest.raises(NoVerdictError, match=rf"no tokens in {2 * len(sizes)} documents"):
            sampling_tables(run, spec, Path())
        return
    tables = sampling_tables(run, spec, Path())
    for name, schema in (("sampling", SAMPLING), ("sampling_strategies", SAMPLING_STRATEGIES)):
        for field in schema:
            column = tables[name][field.name]
            assert field.nullable or not column.null_count, field.name
            if pa.types.is_floating(field.type):
                assert np.isfinite(column.drop_null().to_numpy()).all(), field.name
    rows = {row["strategy"]: row for row in tables["sampling_strategies"].to_pylist()}
    for row in rows.values():
        assert row["allocated"] + row["unallocated"] == pytest.approx(budget)
        assert bool(row["unallocated"] > 0) == bool(row["unallocated_reason"])
    # Nothing can be drawn from a domain that is not there: no tokens, and the mixture of no domains.
    assert (rows["absent"]["allocated"], rows["absent"]["effective_domains"]) == (0.0, 0.0)
    assert rows["absent"]["unallocated_reason"] == "weights are given for domains without text: absent"
    assert "nan" not in sampling_summary("corpus", "run", tables)
