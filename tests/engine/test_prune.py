"""Pruning a real output folder: what is left is enough for the newest run's snapshot, and no more."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from corpus_audit.pipelines.counting.used_partials import UsedPartials
from corpus_audit.runners.audit.prune import Keep, plan_pruning, prune
from tests.engine.runs import partials_of, run, write_audit

pytestmark = pytest.mark.engine


def write_shard(path: Path, word: str) -> None:
    lines = [json.dumps({"text": f"{word} {i} the quick brown fox " * (1 + i % 5)}) for i in range(1200)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_what_is_left_is_what_the_kept_runs_are_made_of(tmp_path: Path, bpe: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    spec = write_audit(tmp_path, [data], bpe, document={"text": "text"}, baseline=[])
    write_shard(data / "a.jsonl", "one")
    write_shard(data / "b.jsonl", "two")
    first = run(spec)
    (data / "b.jsonl").unlink()
    write_shard(data / "c.jsonl", "three")
    spec = write_audit(
        tmp_path,
        [data],
        bpe,
        document={"text": "text"},
        baseline={"run": f"runs/{first.folder.name}"},
        per_document=True,
    )
    second = run(spec)
    assert second.splits_cached + second.splits_read > 0
    output = tmp_path / "runs"

    both = plan_pruning(output, Keep(1, None), datetime.now(UTC))
    assert not both.runs and not both.partials, "the baseline of the newest run is kept, and what it is made of"

    spec = write_audit(tmp_path, [data], bpe, document={"text": "text"}, per_document=True)
    third = run(spec)
    plan = plan_pruning(output, Keep(1, None), datetime.now(UTC))
    assert set(plan.runs) == {first.folder.name, second.folder.name}
    prune(plan)
    store = output.resolve() / ".store"
    left = {path.relative_to(output / ".store" / "partials").as_posix() for path in partials_of(output)}
    assert left == UsedPartials(store).of(third.folder.name)
    again = run(spec)
    assert again.splits_read == 0 and again.integer_tables() == third.integer_tables()
