"""Indexes are built split by split: only what is missing, never half, and without shards that are gone."""

import json
import os
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest

from corpus_audit.pipelines.tracing import build as building
from corpus_audit.pipelines.tracing.build import split_facts
from corpus_audit.pipelines.tracing.index import INDEX_FILE, SEGMENTS, damaged_segments, open_trace_index, read_facts
from corpus_audit.pipelines.tracing.segment import write_segment
from corpus_audit.pipelines.tracing.trace import TraceSettings, trace_text
from corpus_audit.schemas.errors import NoVerdictError, StoreError, UsageError
from tests.pipelines.tracing.making import build, tasks_of, write_corpus

SHARDS = {"a": ["the first text of all", "a second one."], "b": ["the first text of b", ""]}
ALL = TraceSettings(shortest=1, spans=100, documents=100, stretches=0)


def holders(folder: Path, text: str) -> set[str]:
    return {f"{d.id} {d.shard} {d.domain}" for d in trace_text(open_trace_index(folder), text, ALL).documents}


def segment_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / SEGMENTS).glob("*/*") if path.suffix != ".json")


def test_only_new_shards_are_read_and_gone_ones_disappear(tmp_path: Path) -> None:
    folder = tmp_path / "trace"
    assert build(write_corpus(tmp_path, SHARDS), folder) == 2
    assert holders(folder, "the first text of") == {"a0 a.jsonl a", "b0 b.jsonl b"}
    assert build(write_corpus(tmp_path, SHARDS), folder) == 0
    assert build(write_corpus(tmp_path, {"c": ["the first text of c"]}), folder) == 1
    assert holders(folder, "the first text of") == {"a0 a.jsonl a", "b0 b.jsonl b", "c0 c.jsonl c"}
    (tmp_path / "data" / "a.jsonl").unlink()
    before = len(segment_files(folder))
    assert build(write_corpus(tmp_path, {}), folder) == 0
    assert holders(folder, "the first text of") == {"b0 b.jsonl b", "c0 c.jsonl c"}
    assert len(segment_files(folder)) == before - 1
    assert set(read_facts(folder)["domains"]) == {"b", "c"}


def test_a_shard_of_which_a_byte_changed_is_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "trace"
    build(write_corpus(tmp_path, SHARDS), folder)
    assert build(write_corpus(tmp_path, {"b": ["the first text of B", ""]}), folder) == 1
    assert holders(folder, "text of B") == {"b0 b.jsonl b"}


def test_shards_of_equal_bytes_are_read_once_and_both_count(tmp_path: Path) -> None:
    loaded = write_corpus(tmp_path, {"a": ["one and the same"]})
    shutil.copy(tmp_path / "data" / "a.jsonl", tmp_path / "data" / "copy.jsonl")
    build(loaded, tmp_path / "trace")
    assert len(segment_files(tmp_path / "trace")) == 1
    trace = trace_text(open_trace_index(tmp_path / "trace"), "one and the same", ALL)
    assert [(d.shard, d.id) for d in trace.documents] == [("a.jsonl", "a0"), ("copy.jsonl", "a0")]
    assert trace.spans[0].occurrences == 2


def test_a_build_that_died_goes_on(tmp_path: Path) -> None:
    loaded, folder = write_corpus(tmp_path, SHARDS), tmp_path / "trace"

    def die(path: Path, batches: object) -> str:
        sha256 = write_segment(path, batches)  # type: ignore[arg-type]
        if batches[0].facets["domain"][0].as_py() == "b":  # type: ignore[index]
            raise KeyboardInterrupt
        return sha256

    with patch.object(building, "write_segment", die), pytest.raises(KeyboardInterrupt):
        build(loaded, folder)
    with pytest.raises(UsageError, match="there is no trace index"):
        open_trace_index(folder)
    assert build(loaded, folder) == 1
    assert holders(folder, "the first text of") == {"a0 a.jsonl a", "b0 b.jsonl b"}


def test_segments_of_a_split_hold_what_one_would(tmp_path: Path) -> None:
    texts = ["", *(f"text {n} of the " + "long " * 20 * n for n in range(9))]
    loaded = write_corpus(tmp_path, {"a": texts})
    build(loaded, tmp_path / "small", segment_bytes=500)
    build(loaded, tmp_path / "large", segment_bytes=2**30)
    assert len(segment_files(tmp_path / "small")) > 3
    assert len(segment_files(tmp_path / "large")) == 1
    small, large = (open_trace_index(tmp_path / name) for name in ("small", "large"))
    assert small.facts["counts"] == large.facts["counts"] and small.facts["domains"] == large.facts["domains"]
    query = "of the long long long. text 7 of the"
    assert trace_text(small, query, ALL) == trace_text(large, query, ALL)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "other"])
def test_damaged_segments_are_refused(tmp_path: Path, damage: str) -> None:
    loaded, folder = write_corpus(tmp_path, SHARDS), tmp_path / "trace"
    build(loaded, folder)
    open_trace_index(folder)  # the files are known to be whole from now on
    path, other = segment_files(folder)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 3] ^= 1
    path.unlink()
    if damage != "gone":
        path.write_bytes(other.read_bytes() if damage == "other" else data[: -1 if damage == "cut" else None])
    with pytest.raises(StoreError):
        open_trace_index(folder)
    assert [name for name, _ in damaged_segments(folder, read_facts(folder))] == [
        path.relative_to(folder / SEGMENTS).as_posix()
    ]


def test_a_byte_that_changes_behind_the_file_systems_back_is_seen_by_verify(tmp_path: Path) -> None:
    folder = tmp_path / "trace"
    build(write_corpus(tmp_path, SHARDS), folder)
    open_trace_index(folder)
    path = segment_files(folder)[0]
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(list(damaged_segments(folder, read_facts(folder)))) == 1


def test_a_damaged_segment_is_removed_when_the_index_is_built_again(tmp_path: Path) -> None:
    loaded, folder = write_corpus(tmp_path, SHARDS), tmp_path / "trace"
    build(loaded, folder)
    segment_files(folder)[0].write_bytes(b"")
    with pytest.raises(StoreError, match="run the same command again"):
        build(loaded, folder)
    assert build(loaded, folder) == 1
    assert holders(folder, "the first text of") == {"a0 a.jsonl a", "b0 b.jsonl b"}


def test_an_index_of_another_version_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "trace"
    build(write_corpus(tmp_path, SHARDS), folder)
    facts = read_facts(folder)
    for key, value in (("schema", "corpus-audit/trace-index/0"), ("words_version", "1, Unicode 1.1")):
        (folder / INDEX_FILE).write_text(json.dumps(facts | {key: value}))
        with pytest.raises(StoreError, match="build it again"):
            open_trace_index(folder)
    (folder / INDEX_FILE).write_text("{")
    with pytest.raises(StoreError, match="cannot read"):
        open_trace_index(folder)


def test_rows_that_are_no_documents_are_counted(tmp_path: Path) -> None:
    loaded = write_corpus(tmp_path, SHARDS)
    with (tmp_path / "data" / "a.jsonl").open("a") as file:
        file.write('{"text": null}\n{"text":\n')
    build(loaded, tmp_path / "trace")
    counts = read_facts(tmp_path / "trace")["counts"]
    assert (counts["rows"], counts["documents"], counts["dead_letters"], counts["filtered"]) == (6, 4, 2, 0)
    assert counts["words"] == 5 + 3 + 5 and counts["words_and_marks"] == counts["words"] + 1


def test_a_split_without_documents_is_part_of_the_index(tmp_path: Path) -> None:
    loaded = write_corpus(tmp_path, {"b": [f"text {n} of many" for n in range(25)], "c": []})
    (tmp_path / "data" / "a.jsonl").write_text('{"text": null}\n')
    build(loaded, tmp_path / "trace")
    trace = trace_text(open_trace_index(tmp_path / "trace"), "text 7 of", TraceSettings(shortest=1))
    assert trace.reference is not None and trace.reference.stretches == 25 and trace.covered == 3


def test_a_shard_that_cannot_be_read_ends_the_build(tmp_path: Path) -> None:
    loaded, folder = write_corpus(tmp_path, SHARDS), tmp_path / "trace"
    tasks = tasks_of(loaded, folder)
    (tmp_path / "data" / "b.jsonl").write_text('{"text": "changed since it was listed"}\n')
    with pytest.raises(NoVerdictError, match=r"shard b\.jsonl"):
        for task in tasks:
            building.TraceWorker(building.ReadSettings(loaded.spec.document)).run_task(task)
    assert split_facts(tasks[0])["counts"]["documents"] == 2
    assert not list((folder / SEGMENTS).glob(".*"))
