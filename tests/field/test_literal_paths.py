"""Own trial: ``~`` worked in no path but the tokenizer's; ``data[1]/*.jsonl`` and ``{a,b}`` "match no file".

Right: ``~`` is the home folder in every path of the spec, a component that exists as it is written is that file or
folder, braces are expanded, and where nothing matches the message says what the signs stand for.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpus_audit.pipelines.reading.snapshot.dates import fill_dates
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.audit import AuditSpec, SnapshotSpec
from corpus_audit.schemas.spec.audit_file import load_audit


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}\n")


def names(base: Path, *paths: str) -> list[str]:
    return [shard.name for shard in list_files(SnapshotSpec(paths=paths), base).shards]


def test_a_folder_with_brackets(tmp_path: Path) -> None:
    put(tmp_path, "data[1]/a.jsonl", "data[1]/x[2].jsonl", "q{1,2}/b.jsonl", "q{1,2}/c{3}.jsonl")
    assert names(tmp_path, "data[1]/*.jsonl") == ["a.jsonl", "x[2].jsonl"]
    assert names(tmp_path, "data[1]") == ["a.jsonl", "x[2].jsonl"]
    assert names(tmp_path, "data[1]/x[2].jsonl") == ["x[2].jsonl"]
    assert names(tmp_path, "*/x[2].jsonl") == ["data[1]/x[2].jsonl"]
    assert names(tmp_path, "data[[]1]/a*") == ["data[1]/a.jsonl"]
    assert names(tmp_path, "q{1,2}/*.jsonl") == ["b.jsonl", "c{3}.jsonl"]
    assert names(tmp_path, "q{1,2}/c{3}.jsonl") == ["c{3}.jsonl"]


def test_a_folder_with_brackets_beside_one_that_the_pattern_matches(tmp_path: Path) -> None:
    put(tmp_path, "data[1]/a.jsonl", "data1/b.jsonl")
    with pytest.raises(UsageError, match=r"it also matches 'data1': write 'data\[\[\]1\]'"):
        names(tmp_path, "data[1]/*.jsonl")
    assert names(tmp_path, "data[[]1]/*.jsonl") == ["data[1]/a.jsonl"]
    assert names(tmp_path, "data1/*.jsonl") == ["b.jsonl"]


def test_braces(tmp_path: Path) -> None:
    put(tmp_path, "d/train/a.jsonl", "d/train/b.ndjson", "d/valid/c.jsonl", "d/test/d.jsonl")
    assert names(tmp_path, "d/{train,valid}/*.jsonl") == ["train/a.jsonl", "valid/c.jsonl"]
    assert names(tmp_path, "d/{train,valid}") == ["train/a.jsonl", "train/b.ndjson", "valid/c.jsonl"]
    assert names(tmp_path, "d/{t*,valid}/*.jsonl") == ["test/d.jsonl", "train/a.jsonl", "valid/c.jsonl"]
    assert names(tmp_path, "d/train/{a.jsonl,b.ndjson}") == ["a.jsonl", "b.ndjson"]
    assert names(tmp_path, "d/t{rain/{a.jsonl,b.ndjson},est}") == ["test/d.jsonl", "train/a.jsonl", "train/b.ndjson"]
    with pytest.raises(UsageError, match=r"one of its alternatives: .*/d/gone/\*\.jsonl: matches no file"):
        names(tmp_path, "d/{train,gone}/*.jsonl")


def test_a_sign_that_is_not_understood_is_explained(tmp_path: Path) -> None:
    put(tmp_path, "d/a.jsonl")
    for path, words in [
        ("d/{1..3}.jsonl", "in braces, only {a,b}"),
        ("d/{lang}/*.jsonl", "in braces, only {a,b}"),
        ("d/[xyz]*.jsonl", "one of the characters"),
    ]:
        with pytest.raises(UsageError) as caught:
            names(tmp_path, path)
        assert words in str(caught.value), path


def test_the_home_folder_in_every_path_of_a_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    put(home, "data/2026-01-01/a.jsonl")
    every = {
        "snapshot": {"paths": ["~/data/{latest}/*.jsonl"], "ignore": ["~/data/x"], "manifest": "~/SHA256SUMS"},
        "tokenizer": "~/tokenizer.json",
        "baseline": {"run": "~/runs"},
        "benchmarks": [{"name": "b", "paths": ["~/b.jsonl"]}],
        "sampling": {"budget": 1e6, "strategies": [{"dsir": {"target": "~/target"}}], "log": {"path": "~/log"}},
        "embedding": {
            "model": "~/model",
            "saes": [{"name": "s", "path": "~/sae"}],
            "directions": [{"name": "d", "path": "~/d.npy", "block": 0}],
            "baseline": "~/index",
            "output": "~/index",
        },
        "policy": "~/policy.yaml",
        "notify": [{"command": ["~/tell.sh", "x"]}],
        "output": "~/runs",
        "store": "~/store",
    }
    path = tmp_path / "audit.yaml"
    path.write_text(json.dumps({"name": "t", **every}))
    loaded = load_audit(path)
    text = json.dumps(loaded.spec.model_dump(mode="json"))
    assert "~" not in text and text.count(f'"{home}/') == json.dumps(every).count('"~/') == 17
    assert names(tmp_path, *fill_dates(loaded).spec.snapshot.paths) == ["a.jsonl"]
    same = load_audit(path, ["output=runs~1", "store=a/~/b"]).spec
    assert isinstance(same, AuditSpec) and (same.output, same.store) == ("runs~1", "a/~/b")
