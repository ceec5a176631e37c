"""Outcomes of rows by hand: they add up over splits, and dead letters keep their reasons and excerpts."""

from __future__ import annotations

from corpus_audit.pipelines.measures import coverage
from corpus_audit.pipelines.reading.documents.batches import DeadLetter, SplitTally
from corpus_audit.pipelines.storage.partials import merge_partials
from corpus_audit.schemas.run.dead_letters import DeadLetterReason


def test_coverage_adds_up_and_keeps_its_letters() -> None:
    tallies = []
    for split in range(2):
        tally = SplitTally(rows=10 + split, documents=6 + split)
        tally.filtered.update({"short": 2})
        for row in (7, 3):
            tally.add_letter(
                DeadLetter(row, DeadLetterReason.NOT_JSON, f"{split}{row}" * 32, 5, "é" if split else None)
            )
        tallies.append(coverage.coverage_partial(split, tally, nul_documents=split))
    for parts in (tallies, tallies[::-1]):
        merged = coverage.ShardCoverage.of(merge_partials(parts))
        assert (merged.documents, merged.nul_documents, merged.rows) == (13, 1, 21)
        assert (merged.dead, merged.filtered) == ({"not_json": 4}, {"short": 4})
        letters = merged.letters.columns
        assert letters["row"].tolist() == [3, 7, (1 << 40) + 3, (1 << 40) + 7]
        assert {merged.names[at] for at in letters["reason"]} == {"dead_letter:not_json"}
        assert letters["excerpt"].to_pylist() == [b"", b"", "é".encode(), "é".encode()]
        assert letters["sha256"].to_pylist()[1] == b"07" * 32


def test_coverage_of_nothing() -> None:
    nothing = coverage.ShardCoverage.of(coverage.coverage_partial(0, SplitTally(), 0))
    assert (nothing.rows, nothing.documents, nothing.dead, nothing.filtered) == (0, 0, {}, {})
    assert coverage.outcome_rows(coverage.verification_partial(0)) == {}
    both = merge_partials([coverage.verification_partial(3), coverage.verification_partial(4)])
    assert coverage.outcome_rows(both) == {"verified:": 7}
