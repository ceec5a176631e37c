"""What run.json says: the integrity rules one by one, conservation and versions; without an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.pipelines.measures.coverage import Coverage, ShardCoverage
from corpus_audit.pipelines.tokens.tokenization import load_tokenizer
from corpus_audit.runners.audit import run_facts
from corpus_audit.runners.audit.counting.shard_states import ShardState
from corpus_audit.schemas.run.snapshot import UnreadFile, UnreadReason
from tests import corpora
from tests.oracle import Document
from tests.pipelines.making import count_all, job_of, merged, spec_of
from tests.run_files import run_record
from tests.runners.states import shard_state, state_of


def integrity(states: Sequence[ShardState], verified: int = 10, **coverage: Any) -> dict[str, str]:
    """check -> status."""
    unread = tuple(UnreadFile("/data/a", "a", reason) for reason in coverage.pop("unread", ()))
    known = run_record(coverage=coverage).coverage
    rules = run_facts.integrity_rules(spec_of(Path("/data")), list(states), known, verified, 10, unread)
    assert all(rule.detail for rule in rules)
    return {rule.check: rule.status for rule in rules}


def lossy(dead: int, dead_bytes: int) -> ShardState:
    """A shard of 9 documents and some dead letters, 100 bytes in all."""
    letters = Coverage().empty().tables["letters"]
    coverage = ShardCoverage(
        (), letters, documents=9, dead={"not_json": dead}, row_bytes=100, dead_bytes={"not_json": dead_bytes}
    )
    return shard_state("lossy", coverage=coverage)


@pytest.mark.parametrize(
    ("check", "statuses"),
    [
        (None, lambda: integrity([shard_state("a")])),
        ("coverage", lambda: integrity([shard_state("a"), shard_state("b", error="cut")])),
        ("conservation", lambda: integrity([shard_state("a")], conserved=False)),
        ("digests", lambda: integrity([shard_state("a"), shard_state("b", sha256="")])),
        ("tokenizer_verification", lambda: integrity([shard_state("a")], verified=9)),
        ("dead_letter_budget", lambda: integrity([shard_state("a")], dead_letters=2, rows=10_000)),
        *(
            (
                "unread_files" if reason.may_be_data else None,
                lambda reason=reason: integrity([shard_state("a")], unread=[reason]),
            )
            for reason in UnreadReason
        ),
        (None, lambda: integrity([shard_state("a")], dead_letters=1, rows=10_000)),
        ("dead_letter_budget", lambda: integrity([shard_state("a")], dead_letter_bytes=2, row_bytes=10_000)),
        (None, lambda: integrity([shard_state("a")], dead_letter_bytes=1, row_bytes=10_000)),
        (None, lambda: integrity([shard_state("a"), lossy(dead=1, dead_bytes=10)])),
        ("shard_loss", lambda: integrity([shard_state("a"), lossy(dead=2, dead_bytes=10)])),
        ("shard_loss", lambda: integrity([shard_state("a"), lossy(dead=1, dead_bytes=12)])),
        (None, lambda: integrity([shard_state("a")], rows=0)),
    ],
)
def test_each_integrity_rule_fails_on_its_own(check: str | None, statuses: Callable[[], dict[str, str]]) -> None:
    result = statuses()
    assert len(result) == 7
    assert [name for name, status in result.items() if status != "pass"] == ([check] if check else [])


def test_the_first_shard_that_failed_is_named() -> None:
    states = [shard_state("a"), shard_state("b", error="its footer is cut"), shard_state("c", error="gone")]
    rules = run_facts.integrity_rules(spec_of(Path("/data")), states, run_record().coverage, 10, 10)
    assert "2 of 3 shards could not be read; the first is b: its footer is cut" in rules[0].detail


def test_a_footer_that_promises_more_rows_breaks_conservation(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(corpora.small_bpe(tmp_path, vocabulary=400)), tmp_path, tmp_path / "used")
    documents = [Document(f"text {n}", f"id-{n}", {"domain": f"d{n % 3}", "language": "en"}, "c") for n in range(50)]
    corpora.write_shards(tmp_path / "data", [documents], "parquet")
    job = job_of(spec_of(tmp_path / "data"), tokenizer, tmp_path)
    shards = count_all(job)
    state = state_of(job, shards[0])
    profile = merged(job, shards, tmp_path / "merged")

    def conserved(documents: int) -> bool:
        return run_facts.is_conserved(run_facts.Material(job.spec, job, [state], profile, documents, 1))

    assert conserved(50)
    assert not conserved(49)  # the measures hold another number of documents than the readers
    assert state.coverage is not None
    state.coverage.documents = 49  # and the footer another number of rows
    assert not conserved(50)


def test_versions_of_what_is_absent() -> None:
    versions = run_facts.package_versions()
    assert versions["python"].startswith("3.")
    assert set(run_facts.PACKAGES) < set(versions)
