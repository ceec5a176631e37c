"""What names say: what is never data, endings as people say them, and what ``ignore`` means."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_audit.pipelines.reading.snapshot.conventions import (
    IgnorePatterns,
    ending_of,
    is_hidden_below,
    is_never_data,
)
from corpus_audit.pipelines.reading.snapshot.names import printable
from corpus_audit.pipelines.reading.snapshot.unread import files_by_ending


@pytest.mark.parametrize(
    "name",
    ["README", "readme.txt", "LICENSE.html", "a.jsonl.crc", "SHA256SUMS", "dataset_info.json", "x.YAML", "k.pub"],
)
def test_names_of_what_is_never_data(name: str) -> None:
    assert is_never_data(name)


@pytest.mark.parametrize(
    "name", ["readme.jsonl", "data.json", "a.txt", "license.parquet", "a.py", "x.mds", "notes.readme"]
)
def test_names_of_what_may_be_data(name: str) -> None:
    assert not is_never_data(name)


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a/b.mds", ".mds"),
        ("a.jsonl.xz", ".jsonl.xz"),
        ("A.TAR.GZ", ".tar.gz"),
        ("a.xz", ".xz"),
        ("part-0", ""),
        ("shard.00012", ""),
        ("v1.2/part", ""),
        (".hidden", ""),
        ("runs/", ""),
        ("odd.b c", ""),
    ],
)
def test_endings(name: str, ending: str) -> None:
    assert ending_of(name) == ending


def test_files_in_words() -> None:
    assert files_by_ending(["a.mds"] * 12 + ["b"]) == "12 .mds files and 1 file without an ending"
    assert files_by_ending(["a.tar"]) == "1 .tar file"
    assert files_by_ending(["a.x", "b.x", "c.y", "d.z"]) == "2 .x files, 1 .y file and 1 .z file"


@pytest.mark.parametrize(
    ("pattern", "ignored", "kept"),
    [
        ("*.xz", ["a.xz", "b/c.xz"], ["a.xzz", "xz"]),
        ("raw", ["raw", "raw/a", "b/raw/c/d"], ["raw2", "b/raw2"]),
        ("raw/", ["raw/a"], ["raw2/a"]),
        ("raw/*.csv", ["raw/a.csv", "b/raw/a.csv"], ["raw/b/a.csv", "a.csv"]),
        ("raw/**/*.csv", ["raw/a.csv", "raw/b/c/a.csv"], ["a.csv"]),
        ("a?.[cx]sv", ["a1.csv", "b/a2.xsv"], ["a.csv", "a1.tsv"]),
        ("[!a]*", ["b", "b/a"], ["a"]),
        ("*.{csv,t?v}", ["a.csv", "a.tsv"], ["a.xsv"]),
        ("corpus/raw", ["raw/a"], ["b/raw/a"]),
        ("/base/corpus/b", ["b/c"], ["c/b"]),
        ("a+b", ["a+b"], ["aab"]),
    ],
)
def test_what_ignore_names(pattern: str, ignored: list[str], kept: list[str]) -> None:
    ignore = IgnorePatterns([pattern], Path("/base"))
    assert [name for name in (*ignored, *kept) if ignore.matches("/base/corpus", f"/base/corpus/{name}")] == ignored


def test_hidden_names_on_an_object_store() -> None:
    assert is_hidden_below("s3://b/_d", "s3://b/_d/_tmp/a")
    assert not is_hidden_below("s3://b/_d", "s3://b/_d/a")
    assert not is_hidden_below("s3://b/d", "s3://b/d/_tmp/a", ["_tmp", "*"])


def test_names_are_shown_without_their_tricks() -> None:
    assert printable("a\x1b[2J\nb\u202e\udcff.xz") == "a\\x1b[2J\\nb\\u202e\\udcff.xz"
    assert printable("ü.jsonl") == "ü.jsonl"
