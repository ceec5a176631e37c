"""Own trial: an audit whose output lies inside the snapshot's folder must not read its own tables.

``paths: [data]`` with ``output: data/runs`` listed the Parquet tables of the first run as shards of the second. Right:
the audit's own folders are left out, and said to be; a snapshot that is the output folder itself is refused by name.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpus_audit.pipelines.reading.snapshot.listing import Listing, list_files
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.audit_file import load_audit
from tests import corpora
from tests.engine.runs import run


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"text": "a"}\n')


def listed(base: Path, path: str, **more: object) -> Listing:
    (base / "audit.yaml").write_text(
        json.dumps({"name": "t", "snapshot": {"paths": [path]}, "tokenizer": "bpe.json", **more})
    )
    loaded = load_audit(base / "audit.yaml")
    return list_files(loaded.spec.snapshot, loaded.base, loaded.own_folders)


@pytest.mark.parametrize("path", ["data", "data/**", "data/**/*.parquet", "data/*"])
def test_the_audits_own_folders_are_left_out(tmp_path: Path, path: str) -> None:
    put(tmp_path / "data", "a.parquet", "runs/r/tables/t.parquet", "kept/partials/p.parquet", "sub/b.parquet")
    (tmp_path / "data" / "link").symlink_to("runs")
    result = listed(tmp_path, path, output="data/runs", store="data/kept")
    assert [shard.name for shard in result.shards] == ["a.parquet", "sub/b.parquet"]
    own = {file.name for file in result.unread if file.reason.value == "own_output"}
    assert own == {"runs/", "kept/", "link/"}
    assert not any(file.reason.may_be_data for file in result.unread)


@pytest.mark.parametrize("path", ["data", "data/**/*.jsonl", "data/../data"])
def test_a_snapshot_that_is_the_output_folder_is_refused(tmp_path: Path, path: str) -> None:
    put(tmp_path / "data", "a.jsonl", "ledger.jsonl")
    with pytest.raises(UsageError, match="the audit writes its own files here"):
        listed(tmp_path, path, output="data")
    assert listed(tmp_path, path, output=".").shards  # above the data it is no part of them


@pytest.mark.engine
def test_a_second_run_is_of_the_same_snapshot(tmp_path: Path) -> None:
    put(tmp_path / "data", "a.jsonl")
    corpora.small_bpe(tmp_path, vocabulary=400)
    listed(tmp_path, "data", output="data/runs")
    runs = [run(tmp_path / "audit.yaml").record for _ in range(2)]
    assert [record["complete"] for record in runs] == [True, True]
    assert runs[0]["snapshot"] == runs[1]["snapshot"] and runs[0]["listing"] == runs[1]["listing"]
    assert runs[1]["listing"]["unread"]["own_output"]["names"] == ["runs/"]
