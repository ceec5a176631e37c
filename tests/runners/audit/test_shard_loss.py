"""What is said of shards that lost rows, gave nothing, or hold nothing."""

from __future__ import annotations

import json
from pathlib import Path

from corpus_audit.pipelines.measures.coverage import Coverage, ShardCoverage
from corpus_audit.runners.audit.counting.shard_loss import Loss, nothing_counted, shard_loss_rule, shards_without_rows
from corpus_audit.schemas.spec.audit import LimitsSpec
from tests.field.accounting import failed_rules, states_of
from tests.pipelines.reading.shard_files import write
from tests.runners.states import shard_state


def test_shards_without_rows_are_named(tmp_path: Path) -> None:
    made = {"a.jsonl": b"", "b.jsonl": b"\n\r\n \n", "c.jsonl": b"\xef\xbb\xbf"}
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    write(tmp_path / "d.parquet", [])
    why = ["0 bytes", "only blank lines", "only a byte-order mark", "a parquet file of 0 rows"]
    for name, reason in zip([*made, "d.parquet"], why, strict=True):
        states = states_of([tmp_path / name])
        assert shards_without_rows(states) == f"1 shard has no rows; the first is {name}: {reason}"
        assert reason in nothing_counted(states)
        assert failed_rules(states) == {}
    write(tmp_path / "e.jsonl", [{"text": "t"}])
    assert shards_without_rows(states_of([tmp_path / "e.jsonl"])) == ""


def test_a_column_of_another_name_is_seen_in_the_message(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"content": "x", "n": 1}) + "\n" for _ in range(5)))
    text = nothing_counted(states_of([tmp_path / "a.jsonl"]))
    assert "5 missing_text" in text and "begins with an object with the keys 'content', 'n'" in text


def test_a_hint_says_what_wrote_nan(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "t"}\n{"text": "t", "x": NaN}\n')
    failed = failed_rules(states_of([tmp_path / "a.jsonl"]))
    assert set(failed) == {"dead_letter_budget", "shard_loss"}
    assert all("allow_nan=False" in text for text in failed.values())


def test_the_worst_shards_are_named_first_and_the_limit_is_never_below_the_corpus_limit() -> None:
    def state(name: str, dead: int) -> object:
        letters = Coverage().empty().tables["letters"]
        coverage = ShardCoverage((), letters, documents=100 - dead, dead={"not_json": dead}, row_bytes=1000)
        return shard_state(name, coverage=coverage)

    states = [state("a", 11), state("b", 10), state("c", 90), state("d", 12), state("e", 13)]
    rule = shard_loss_rule(LimitsSpec(), states)  # type: ignore[arg-type]
    bad = rule.detail
    assert (rule.check, rule.holds) == ("shard_loss", False)
    assert bad.startswith("4 of 5 shards") and bad.index("c: 90") < bad.index("e: 13") < bad.index("d: 12")
    assert "and 1 more" in bad and "a: 11" not in bad
    assert shard_loss_rule(LimitsSpec(dead_letter_share=0.9), states).holds  # type: ignore[arg-type]
    assert Loss(0, 0, 0, 0).share == 0.0
