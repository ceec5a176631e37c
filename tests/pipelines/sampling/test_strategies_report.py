from pathlib import Path

import numpy as np
import pytest

from corpus_audit.pipelines.sampling.strategies_report import sampling_tables
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.spec.sampling import SamplingSpec
from corpus_audit.schemas.tables.sampling_tables import SAMPLING_TABLES
from tests.pipelines.finished_run import finished_run, hash_numbers

# Documents, distinct, tokens, distinct tokens: unique tokens 1, 10 and 100 thousand, as in the UniMax example.
DOMAINS = {"small": (10, 10, 1000, 1000), "middle": (60, 50, 12_000, 10_000), "large": (1000, 1000, 100_000, 100_000)}


@pytest.fixture
def run(tmp_path):
    return finished_run(tmp_path / "run", DOMAINS)


def tables(run, base=Path(), **given):
    return sampling_tables(run, SamplingSpec.model_validate({"budget": 60_000, **given}), base)


def column(table, name, strategy):
    return {row["domain"]: row[name] for row in table.to_pylist() if row["strategy"] == strategy}


def test_schemas_and_row_order(run):
    result = tables(run, strategies=("proportional", {"unimax": {"epoch_cap": 4}}))
    for name, table in result.items():
        assert table.schema.equals(SAMPLING_TABLES[name], check_metadata=True), name
        table.validate(full=True)
    rows = [(row["strategy"], row["domain"]) for row in result["sampling"].to_pylist()]
    assert rows == [
        ("proportional", "large"),
        ("proportional", "middle"),
        ("proportional", "small"),
        ("unimax 4", "large"),
        ("unimax 4", "middle"),
        ("unimax 4", "small"),
    ]


def test_unimax_by_domain(run):
    result = tables(run, strategies=({"unimax": {"epoch_cap": 4}},), parameters=1000)
    by_domain = result["sampling"]
    assert column(by_domain, "drawn", "unimax 4") == {"small": 4000, "middle": 28_000, "large": 28_000}
    assert column(by_domain, "epochs", "unimax 4") == {"small": 4, "middle": 2.8, "large": 0.28}
    assert column(by_domain, "draws_maximum", "unimax 4") == {"small": 4, "middle": 3, "large": 1}
    assert column(by_domain, "exhaustion", "unimax 4")["small"] == pytest.approx(15_000)
    summary = result["sampling_strategies"].to_pylist()[0]
    assert summary["kind"] == "unimax" and summary["allocated"] == 60_000 and summary["unallocated_reason"] is None
    assert (summary["epochs_maximum"], summary["epochs_maximum_domain"]) == (4, "small")
    assert (summary["first_exhausted"], summary["first_exhausted_domain"]) == (pytest.approx(15_000), "small")
    assert summary["unique_seen"] == 1000 + 10_000 + 28_000
    assert summary["tokens_per_parameter"] == 60 and summary["optimal_tokens"] == 20_000
    assert summary["optimal_ratio"] == 3 and summary["flops"] == 6 * 1000 * 60_000


def test_proportional_is_natural(run):
    summary = tables(run, budget=222_000)["sampling_strategies"].to_pylist()[0]
    assert summary["kl_natural"] == pytest.approx(0, abs=1e-12)
    assert summary["effective_sample"] == pytest.approx(111_000)
    assert summary["epochs_maximum"] == pytest.approx(2) and summary["note"] is None
    assert summary["effective_tokens"] / 111_000 == pytest.approx(1.9682, abs=1e-4)  # Muennighoff's at 2 epochs
    assert summary["parameters"] is None and summary["flops"] is None


def test_the_trap_between_documents_and_tokens_is_shown(run):
    # Mean lengths are 100, 200 and 100: equal shares of documents are 1/4, 1/2 and 1/4 of the tokens.
    weights = {"small": 1, "middle": 1, "large": 1}
    strategies = ({"weights": weights, "unit": "documents"}, {"weights": weights})
    result = tables(run, strategies=strategies)
    table = result["sampling"]
    implied = {"small": 0.25, "middle": 0.5, "large": 0.25}
    thirds = pytest.approx(dict.fromkeys(weights, 1 / 3))
    assert column(table, "share", "weights by documents") == pytest.approx(implied)
    assert column(table, "misread_share", "weights by documents") == thirds
    assert column(table, "document_share", "weights by documents") == thirds
    assert column(table, "share", "weights by tokens") == thirds
    assert column(table, "misread_share", "weights by tokens") == pytest.approx(implied)
    assert [row["misread_distance"] for row in result["sampling_strategies"].to_pylist()] == pytest.approx([1 / 6] * 2)


def test_weights_of_a_domain_that_is_not_there(run):
    result = tables(run, strategies=({"weights": {"large": 3, "books": 1}},))
    rows = {row["domain"]: row for row in result["sampling"].to_pylist()}
    assert rows["books"]["unallocated"] == 15_000 and rows["books"]["drawn"] == 0
    assert rows["books"]["epochs"] is None and rows["books"]["draws_maximum"] is None
    assert rows["small"]["share"] == 0 and rows["small"]["exhaustion"] is None
    summary = result["sampling_strategies"].to_pylist()[0]
    assert summary["unallocated"] == 15_000 and summary["unallocated_reason"].endswith("without text: books")


def sampled(rng, domain, size, bucket):
    return [(domain, n, 100, {bucket: 5, 900 + i % 50: 2, 7: 1}) for i, n in enumerate(hash_numbers(rng, size))]


def test_dsir_prefers_what_the_target_holds(tmp_path):
    rng = np.random.Generator(np.random.PCG64(1))
    domains = {"a": (300, 300, 30_000, 30_000), "b": (100, 100, 10_000, 10_000)}
    run = finished_run(tmp_path / "run", domains, samples=sampled(rng, "a", 300, 1) + sampled(rng, "b", 100, 2))
    finished_run(tmp_path / "target", {"x": (90, 90, 9000, 9000)}, samples=sampled(rng, "x", 90, 2))
    result = tables(run, tmp_path, budget=8000, strategies=({"dsir": {"target": "target"}},))
    assert column(result["sampling"], "share", "dsir")["b"] > 0.95
    rows = {row["domain"]: row for row in result["sampling"].to_pylist()}
    assert rows["b"]["share_low"] <= rows["b"]["share"] <= rows["b"]["share_high"]
    summary = result["sampling_strategies"].to_pylist()[0]
    assert summary["dsir_sample"] == 400 and summary["dsir_kl_reduction"] > 0 and "estimated" in summary["note"]
    more = tables(run, tmp_path, budget=50_000, strategies=({"dsir": {"target": "target"}},))
    assert more["sampling_strategies"].to_pylist()[0]["unallocated"] == pytest.approx(10_000)
    twice = tables(run, tmp_path, budget=16_000, strategies=({"dsir": {"target": "target", "epochs": 2}},))
    assert column(twice["sampling"], "drawn", "dsir")["b"] == pytest.approx(2 * rows["b"]["drawn"])


def test_what_cannot_be_a_target(tmp_path, run):
    dsir = ({"dsir": {"target": "other"}},)
    with pytest.raises(UsageError, match="neither a run directory"):
        tables(run, tmp_path, strategies=dsir)
    finished_run(tmp_path / "other", DOMAINS, tokenizer="another")
    with pytest.raises(UsageError, match="another tokenizer"):
        tables(run, tmp_path, strategies=dsir)


def test_an_empty_corpus_has_nothing_to_sample(tmp_path):
    with pytest.raises(NoVerdictError, match="no tokens"):
        tables(finished_run(tmp_path / "run", {"a": (3, 3, 0, 0)}))


def test_a_sampled_audit_says_so(tmp_path):
    run = finished_run(tmp_path / "run", DOMAINS, sample_share=0.1)
    assert "10.0% of the splits" in tables(run)["sampling_strategies"].to_pylist()[0]["note"]
