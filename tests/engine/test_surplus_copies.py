"""Copies that a snapshot has beyond its baseline's number were added, whatever shards and splits they are in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.runners.audit.baselines import compare
from tests import corpora
from tests.engine.runs import Run
from tests.engine.test_baseline import FIELDS, audit, documents, expected_counts, shared_counts
from tests.oracle import Document

pytestmark = pytest.mark.engine

TABLES = ("shared_token_counts", "shared_token_groups")


def both(before: Sequence[Document], now: Sequence[Document]) -> list[Document]:
    """As many copies of each text and domain as both sides have."""

    def texts(side: Sequence[Document]) -> Counter[tuple[str, str]]:
        return Counter((document.text, str(document.facets["domain"])) for document in side)

    shared = texts(before) & texts(now)
    return [Document(text, "x", {"domain": domain}) for text, domain in shared.elements()]


def groups(found: Run) -> Counter[tuple[str, int]]:
    counts: Counter[tuple[str, int]] = Counter()
    for row in found.rows("shared_token_groups"):
        assert len(row["counts"]) == bin(row["groups"] & (2**64 - 1)).count("1") and min(row["counts"]) > 0
        counts[row["domain"], row["token"]] += sum(row["counts"])
    return counts


def copied(of: Sequence[Document], seed: int) -> list[Document]:
    """Copies under other ids."""
    return [Document(d.text, f"copy-{seed}-{d.id}", d.facets, d.cluster) for d in of]


@pytest.mark.parametrize("clustered", [False, True])
def test_shared_counters_are_of_as_many_copies_as_both_have(tmp_path: Path, bpe: Path, clustered: bool) -> None:
    kept = documents(120, 2)
    before = kept + copied(kept[:10], 1)
    now = kept + copied(kept[:30], 1) + copied(kept[:20], 2) + copied(kept[5:8], 3) + documents(40, 4, 2000)
    random.Random(3).shuffle(now)
    spec: dict[str, Any] = {"document": FIELDS | {"cluster": "cluster"}} if clustered else {}
    first = audit(tmp_path / "a", [before], bpe, **spec)
    baseline = [{"run": str(tmp_path / "a" / "runs")}]
    found = audit(tmp_path / "b", corpora.deal(now, 3), bpe, baseline=baseline, **spec)
    expected = expected_counts(bpe, both(before, now))
    assert shared_counts(found) == expected and groups(found) == expected
    overall = found.rows("turnover")[0]
    assert (overall["kept"], overall["added"]) == (130, len(now) - 130)
    if clustered:
        return
    again = audit(tmp_path / "c", corpora.deal(now, 7), bpe, baseline=baseline)
    for table in (*TABLES, "drift", "drift_tokens"):
        assert again.rows(table) == found.rows(table), table
    measured = compare(RunDirectory(first.folder), RunDirectory(found.folder), "baseline", 1, lambda _: None)
    assert measured["drift"].to_pylist() == found.rows("drift")


def test_a_shard_that_is_there_twice_and_a_text_of_another_shard(tmp_path: Path, bpe: Path) -> None:
    """The second copy of a shard counts as new, though the baseline has one of its texts in another shard too."""
    shard, other = documents(40, 1), documents(40, 2, 1000)
    before = [shard, other + copied(shard[:3], 1)]
    audit(tmp_path / "a", before, bpe)
    now = [shard, shard, documents(40, 3, 2000) + other[:5] + copied(other[:5], 2)]
    found = audit(tmp_path / "b", now, bpe, baseline=[{"run": str(tmp_path / "a" / "runs")}])
    expected = expected_counts(bpe, both([d for part in before for d in part], [d for part in now for d in part]))
    assert shared_counts(found) == expected and groups(found) == expected
    assert found.rows("turnover")[0]["kept"] == 40 + 3 + 5


def test_nothing_is_read_again_where_no_text_has_more_copies(tmp_path: Path, bpe: Path) -> None:
    kept = documents(60, 1)
    audit(tmp_path / "a", [kept + copied(kept[:20], 1)], bpe)
    store = tmp_path / "b" / "runs" / ".store"
    audit(tmp_path / "b", [kept + copied(kept[:20], 2)], bpe, baseline=[{"run": str(tmp_path / "a" / "runs")}])
    assert not list(store.rglob("surplus-*"))
    audit(tmp_path / "b", [kept + copied(kept[:21], 2)], bpe, baseline=[{"run": str(tmp_path / "a" / "runs")}])
    assert list(store.rglob("surplus-*"))
