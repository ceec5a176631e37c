"""Keys change with what a partial depends on and nothing else; damaged partials go; plans are forgotten in time."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.pipelines.counting import store
from corpus_audit.pipelines.counting.store import KeyMaker, PlanCache, ProfileStore
from corpus_audit.pipelines.measures.records import Records
from corpus_audit.pipelines.measures.registry import ALWAYS, READING
from corpus_audit.pipelines.measures.split_totals import SplitTotals
from corpus_audit.pipelines.storage.partials import write_partial
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat, ShardPlan, Split
from tests.pipelines.making import spec_of

MEASURES = (*ALWAYS, Records(), SplitTotals(), *READING)
EVERY = {measure.name for measure in MEASURES}
OF_DOMAINS = EVERY - {"coverage", "verification"}
FIELDS: dict[str, Any] = {"id": "id", "domain": "domain", "facets": {"language": "language"}, "cluster": "cluster"}
FILTER = [{"name": "long", "column": "n", "op": ">", "value": 3}]


def keys(
    spec: dict[str, Any] | None = None,
    *,
    sha256: str = "aa",
    path: dict[str, str] | None = None,
    split: Split | None = None,
    tokenizer: str = "t:1",
    versions: str = "v",
) -> dict[str, str]:
    """Every measure's key."""
    maker = KeyMaker.of(spec_of(Path("/data"), **(spec or {})), MEASURES, tokenizer, versions)
    return {measure.name: maker.key(measure.name, sha256, path or {}, split) for measure in MEASURES}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in EVERY if before[name] != after[name]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"name": "another name"}, set()),
        ({"snapshot": {"paths": ["/elsewhere"], "manifest": "MANIFEST"}}, set()),
        ({"tokenizer": "the same file by another name"}, set()),
        ({"mixture": {"weights": {"a": 1}}}, set()),
        ({"output": "out", "store": "/shared"}, set()),
        ({"per_document": True}, set()),
        ({"limits": {"dead_letter_share": 0.5, "expansion": 9}}, set()),
        ({"excerpts": False}, {"samples"}),
        ({"limits": {"dead_letter_excerpts": True}}, {"coverage"}),
        ({"document": FIELDS | {"facets": {}}}, {"domains", "split_totals"}),
        ({"document": FIELDS | {"facets": {"language": {"url_host": "language"}}}}, {"domains", "split_totals"}),
        ({"document": FIELDS | {"id": "name"}}, {"identities", "tokens", "records"}),
        ({"document": FIELDS | {"cluster": None}}, {"domains", "tokens", "split_totals"}),
        ({"document": FIELDS | {"domain": {"constant": "all"}}}, OF_DOMAINS),
        ({"document": FIELDS | {"text": "body"}}, EVERY),
        ({"filter": FILTER}, EVERY),
        ({"limits": {"document_bytes": 1000}}, EVERY),
        ({"sample": {"share": 0.5}}, EVERY),
    ],
    ids=lambda value: ",".join(sorted(value)),
)
def test_settings_that_a_key_depends_on(spec: dict[str, Any], expected: set[str]) -> None:
    assert changed(keys(), keys(spec)) == expected


def test_other_parts_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    base = keys()
    assert changed(base, keys()) == set()
    assert changed(base, keys(sha256="ab")) == EVERY
    assert changed(base, keys(path={"domain": "en"})) == EVERY
    assert changed(base, keys(split=Split(0, 0, 10, 99))) == EVERY
    assert changed(keys(split=Split(0, 0, 10, 99)), keys(split=Split(0, 0, 11, 99))) == EVERY
    assert changed(base, keys(tokenizer="other:1")) == EVERY - {"coverage"}
    assert changed(base, keys(versions="tokenizers=9")) == {"verification"}
    assert changed(keys({"filter": FILTER}), keys({"filter": [FILTER[0] | {"name": "other reason"}]})) == EVERY
    assert changed(keys({"sample": {"share": 0.5}}), keys({"sample": {"share": 0.5, "seed": 1}})) == EVERY
    monkeypatch.setattr(store, "READER_VERSION", -1)
    assert changed(base, keys()) == EVERY


def test_a_split_is_its_bounds_and_not_its_weight_or_number() -> None:
    assert keys(split=Split(0, 0, 10, 99)) == keys(split=Split(5, 0, 10, 1))


def test_keys_of_measures_differ() -> None:
    assert len(set(keys().values())) == len(MEASURES)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_a_new_version_changes_that_key_alone(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    base = keys()
    monkeypatch.setattr(type(measure), "version", measure.version + 1)
    assert changed(base, keys()) == {measure.name}


def test_a_damaged_partial_is_removed(tmp_path: Path) -> None:
    profiles = ProfileStore(tmp_path)
    assert not profiles.has("lengths", "abcd")
    path = profiles.partial_path("lengths", "abcd")
    assert path == tmp_path / "partials" / "lengths" / "ab" / "abcd"
    for damage in (lambda raw: raw[:-1], lambda raw: raw[:30] + b"\xff" + raw[31:], lambda raw: b""):
        write_partial(path, ALWAYS[2].empty())
        assert profiles.has("lengths", "abcd")
        path.write_bytes(damage(path.read_bytes()))
        assert not profiles.has("lengths", "abcd")
        assert not path.exists()


def settled(path: Path) -> ShardPlan:
    """The plan of a shard that was written a minute ago."""
    path.write_text(path.name)
    os.utime(path, (time.time() - 60, time.time() - 60))
    shard = Shard(str(path), path.name, ShardFormat.JSONL, 1, "stamp 1")
    return ShardPlan(shard, f"digest of {path.name}", True, (Split(0, 0, 5, 9), Split(1, 5, 7, 2)), 12)


def recalled(plan: ShardPlan) -> dict[str, ShardPlan]:
    return {plan.shard.path: replace(plan, digest_computed=False)}


def test_plans_are_remembered_under_the_stamp(tmp_path: Path) -> None:
    memory = PlanCache(tmp_path / "store")
    first, second = settled(tmp_path / "a"), settled(tmp_path / "b")
    both = [first.shard, second.shard]
    assert memory.known(both) == {}
    memory.record([first, replace(second, rows=None, splits=())])
    assert memory.known(both) == recalled(first) | recalled(replace(second, rows=None, splits=()))
    assert PlanCache(tmp_path / "store").known([first.shard]) == recalled(first)
    moved = replace(first, shard=replace(first.shard, stamp="stamp 2"), sha256="another")
    assert set(memory.known([moved.shard, second.shard])) == {second.shard.path}
    memory.record([moved])
    assert memory.known([moved.shard]) == recalled(moved)
    assert memory.known([first.shard]) == {}
    memory.record([])


def test_a_plan_of_another_format_or_reader_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = PlanCache(tmp_path / "store")
    plan = settled(tmp_path / "a")
    memory.record([plan])
    assert memory.known([replace(plan.shard, format=ShardFormat.PARQUET)]) == {}
    monkeypatch.setattr(store, "READER_VERSION", -1)
    assert memory.known([plan.shard]) == {}


def test_without_a_stamp_nothing_is_known(tmp_path: Path) -> None:
    memory = PlanCache(tmp_path / "store")
    plan = settled(tmp_path / "a")
    memory.record([replace(plan, shard=replace(plan.shard, stamp=""))])
    assert memory.known([replace(plan.shard, stamp="")]) == {}


def test_plans_of_fresh_files_and_of_lost_ones_are_not_remembered(tmp_path: Path) -> None:
    memory = PlanCache(tmp_path / "store")
    old, fresh, lost = (settled(tmp_path / name) for name in ("old", "fresh", "lost"))
    os.utime(fresh.shard.path)
    Path(lost.shard.path).unlink()
    remote = replace(old, shard=Shard("s3://bucket/x", "x", ShardFormat.JSONL, 1, "etag"))
    memory.record([fresh, lost, old, remote])
    known = memory.known([plan.shard for plan in (old, fresh, lost, remote)])
    assert known == recalled(old) | recalled(remote)
