"""datasets#5850, arrow#6259: files beside the shards in formats that are not read were dropped without a word.

A pattern ``data/part-*`` over ``.jsonl`` and ``.jsonl.xz`` counted the first kind and was COMPLETE; a folder of only
``.mds`` said "an empty corpus". Right: what was seen and not read is listed and counted, and costs the verdict unless
``snapshot.ignore`` names it; a folder of only such files says what they are.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.contamination.benchmarks.items import read_benchmark
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.reading.snapshot.listing import Listing, list_files
from corpus_audit.runners.init.proposal import propose_audit
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.run.snapshot import ShardFormat, UnreadReason
from corpus_audit.schemas.spec.audit import SnapshotSpec
from corpus_audit.schemas.spec.audit_file import load_audit
from corpus_audit.schemas.spec.benchmarks import BenchmarkSpec
from tests import corpora
from tests.engine.runs import run, write_audit


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"text": name}) + "\n")


def listed(base: Path, *paths: str, ignore: tuple[str, ...] = (), format: str = "auto") -> Listing:
    spec = SnapshotSpec.model_validate({"paths": paths, "ignore": ignore, "format": format}, strict=False)
    return list_files(spec, base)


def reasons(listing: Listing) -> dict[str, str]:
    return {file.name: file.reason.value for file in listing.unread}


@pytest.mark.parametrize("path", ["data", "data/*", "data/part-*", "data/**", "data/**/part-*"])
def test_what_a_folder_or_pattern_leaves_out_is_listed(tmp_path: Path, path: str) -> None:
    other = ["part-1.jsonl.xz", "part-2.jsonl.bz2", "part-3.json", "part-4.csv", "part-5.txt", "part-6.mds"]
    other += ["part-7.tar", "part-8.bin", "part-9.parquet.gz", "part-10"]
    fill(tmp_path / "data", "part-0.jsonl", *other)
    listing = listed(tmp_path, path)
    assert [shard.name for shard in listing.shards] == ["part-0.jsonl"]
    assert reasons(listing) == dict.fromkeys(other, "unknown_format")


def test_names_of_formats_that_are_read_are_read(tmp_path: Path) -> None:
    formats = {
        "a.jsonlines": ShardFormat.JSONL,
        "b.ndjson": ShardFormat.JSONL,
        "c.jsonl.gzip": ShardFormat.JSONL_GZ,
        "d.JSONLINES.GZ": ShardFormat.JSONL_GZ,
        "e.ndjson.zstd": ShardFormat.JSONL_ZST,
    }
    fill(tmp_path / "data", *formats)
    assert {shard.name: shard.format for shard in listed(tmp_path, "data").shards} == formats


def test_what_is_never_data_is_listed_and_costs_nothing(tmp_path: Path) -> None:
    names = ["README.md", "LICENSE", "license.txt", "dataset_info.json", "SHA256SUMS", "a.jsonl.sha256", "audit.yaml"]
    hidden = [".gitattributes", "_SUCCESS", "._part.crc", ".cache/huggingface/x.lock"]
    fill(tmp_path / "data", "a.jsonl", *names, *hidden)
    assert reasons(listed(tmp_path, "data")) == dict.fromkeys(names, "not_data") | dict.fromkeys(hidden, "hidden")
    assert not any(file.reason.may_be_data for file in listed(tmp_path, "data").unread)


def test_ignore_names_files_at_any_depth_or_by_their_path(tmp_path: Path) -> None:
    fill(tmp_path / "data", "a.jsonl", "raw/b.xz", "raw/c.jsonl", "deep/raw/d.csv", "e.csv")
    for ignore, left in [
        (("*.csv",), {"e.csv", "deep/raw/d.csv"}),
        (("raw",), {"raw/b.xz", "raw/c.jsonl", "deep/raw/d.csv"}),
        (("data/raw",), {"raw/b.xz", "raw/c.jsonl"}),
        (("data/raw/*.{xz,csv}",), {"raw/b.xz"}),
        (("data/**/d.csv", "e.[cx]sv"), {"deep/raw/d.csv", "e.csv"}),
        ((str(tmp_path / "data" / "e.csv"),), {"e.csv"}),
        (("data",), set()),
    ]:
        result = reasons(listed(tmp_path, "data", ignore=ignore)) if ignore != ("data",) else {}
        assert {name for name, reason in result.items() if reason == "ignored"} == left, ignore
    with pytest.raises(UsageError, match=r"in snapshot\.paths and in snapshot\.ignore"):
        listed(tmp_path, "data/a.jsonl", ignore=("*.jsonl",))


def test_a_requested_format_leaves_no_other_out_silently(tmp_path: Path) -> None:
    fill(tmp_path / "data", "a.jsonl", "b.jsonl.gz")
    assert reasons(listed(tmp_path, "data", format="jsonl")) == {"b.jsonl.gz": "other_format"}
    assert UnreadReason.OTHER_FORMAT.may_be_data


def test_a_folder_of_only_such_files_says_what_they_are(tmp_path: Path) -> None:
    fill(tmp_path / "data", *(f"shard.{n:05}.mds" for n in range(12)), "index", "README.md")
    with pytest.raises(NoVerdictError, match=r"found 12 \.mds files and 1 file without an ending, which are not read"):
        listed(tmp_path, "data")
    fill(tmp_path / "full", "a.jsonl")
    with pytest.raises(UsageError, match=r"no shard in data \(found 12 \.mds"):
        listed(tmp_path, "full", "data")
    fill(tmp_path / "docs", "README.md")
    with pytest.raises(NoVerdictError, match="found only files that are not data"):
        listed(tmp_path, "docs")


def test_links_to_nothing_are_listed(tmp_path: Path) -> None:
    fill(tmp_path / "data", "a.jsonl")
    (tmp_path / "data" / "b.jsonl").symlink_to(tmp_path / "gone.jsonl")
    assert reasons(listed(tmp_path, "data")) == {"b.jsonl": "broken_link"}


def test_a_benchmark_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.jsonl").write_text('{"prompt": "What is it?"}\n')
    fill(tmp_path / "b", "README.md")
    spec = BenchmarkSpec.model_validate({"name": "b", "paths": ["b"]}, strict=False)
    assert len(read_benchmark(spec, tmp_path).items) == 1
    fill(tmp_path / "b", "more.csv")
    with pytest.raises(NoVerdictError, match=r"1 \.csv file beside its items cannot be read"):
        read_benchmark(spec, tmp_path)


@pytest.mark.engine
def test_a_run_has_no_verdict_until_they_are_ignored(tmp_path: Path) -> None:
    fill(tmp_path / "data", "part-0.jsonl", "part-1.jsonl.xz", "README.md")
    tokenizer = corpora.small_bpe(tmp_path, vocabulary=400)
    spec = write_audit(tmp_path, [tmp_path / "data"], tokenizer, document={})
    first = run(spec)
    assert first.record["complete"] is False and "part-1.jsonl.xz" in first.record["reasons"][0]
    assert first.record["listing"]["seen"] == 3 and first.record["listing"]["read"] == 1
    assert first.record["listing"]["unread"]["unknown_format"]["endings"] == {".jsonl.xz": 1}
    rows = pq.read_table(first.file("unread_files")).to_pylist()
    assert [(row["file"], row["reason"], row["may_be_data"]) for row in rows] == [
        ("README.md", "not_data", False),
        ("part-1.jsonl.xz", "unknown_format", True),
    ]
    page = (first.folder / "report.html").read_text(encoding="utf-8")
    assert "part-1.jsonl.xz" in page and "2 other files were seen but not read" in page
    content = json.loads(spec.read_text())
    content["snapshot"]["ignore"] = ["*.xz"]
    spec.write_text(json.dumps(content))
    second = run(spec)
    assert second.record["complete"] is True
    assert second.record["listing"]["unread"]["ignored"]["names"] == ["part-1.jsonl.xz"]

    from corpus_audit.runners.audit.run import run_audit

    def unchanged() -> bool:
        return run_audit(load_audit(spec), workers=1, board=Board(), if_changed=True).unchanged

    fill(tmp_path / "data", "NOTICE", "part-2.jsonl.xz")
    assert unchanged()
    fill(tmp_path / "data", "part-3.csv")
    assert not unchanged()


def test_init_says_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpora.small_bpe(tmp_path, vocabulary=400)
    fill(tmp_path / "data", "a.jsonl", "b.mds", "c.mds", "README.md")
    (tmp_path / "audit.yaml").write_text(propose_audit(["data"], tmp_path / "audit.yaml", tokenizer="bpe.json").text)
    text = (tmp_path / "audit.yaml").read_text()
    assert "# Not read: 2 .mds files, such as b.mds." in text and "README" not in text
    (tmp_path / "audit.yaml").write_text(text.replace("  #ignore:", "  ignore:"))
    assert load_audit(tmp_path / "audit.yaml").spec.snapshot.ignore == ("*.mds",)
