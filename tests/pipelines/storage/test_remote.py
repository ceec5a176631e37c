"""Runs and partials on an object store: there whole or not at all, and checked when they come back."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus_audit.pipelines.counting.store import ProfileStore
from corpus_audit.pipelines.storage.partials import Partial, write_partial
from corpus_audit.pipelines.storage.remote import Remote, fetch, push
from corpus_audit.schemas.errors import StoreError, UsageError
from tests.pipelines.memory_bucket import memory_bucket
from tests.run_files import run_record, write_run_json

PLACE = "s3://bucket/audits"
KEY = "ab" + "0" * 62
NAME = f"tokens/ab/{KEY}"
FIRST, SECOND = "20260301T000000Z", "20260302T000000Z-2"


def write_run(output: Path, name: str = FIRST, text: str = "counts") -> Path:
    folder = output / name
    (folder / "tables").mkdir(parents=True)
    files = {"tables/a.parquet": text.encode(), "report.html": b"<html>"}
    for file, data in files.items():
        (folder / file).write_bytes(data)
    digests = {file: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for file, data in files.items()}
    write_run_json(folder, run=name, files=digests)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".lock" not in p.name
    }


@pytest.mark.parametrize("url", ["runs", "/tmp/runs", "http://host/x", "s3://key:secret@bucket/x"])
def test_what_is_no_object_store_is_refused(bucket: Any, url: str) -> None:
    with pytest.raises(UsageError):
        Remote.open(url)


def test_a_place_of_another_version_or_of_nothing_is_refused(bucket: Any) -> None:
    with pytest.raises(UsageError, match="there is no remote copy"):
        Remote.open(PLACE, write=False)
    bucket.pipe_file(f"{PLACE}/FORMAT", b"corpus-audit/remote/9\n")
    with pytest.raises(UsageError, match="another format version"):
        Remote.open(PLACE)


def test_partials_are_kept_once_and_fetched(bucket: Any, tmp_path: Path) -> None:
    here = ProfileStore(tmp_path / "here", Remote.open(PLACE))
    path = here.partial_path("tokens", KEY)
    assert not here.has("tokens", KEY)
    write_partial(path, Partial(("a",), {}))
    here.upload([path])
    here.upload([path])
    there = ProfileStore(tmp_path / "there", Remote.open(PLACE))
    assert there.has("tokens", KEY)
    assert there.partial_path("tokens", KEY).read_bytes() == path.read_bytes()
    before = ProfileStore(tmp_path / "before", here.remote)
    assert not before.has("tokens", KEY)  # a run lists what was there when it began
    split, whole = here.partial_path("tokens", "cd" + KEY), here.partial_path("tokens", "ef" + KEY)
    path.rename(split.parent.mkdir(parents=True) or split)
    here.move_upload(path, split)
    whole.parent.mkdir()
    shutil.copy(split, whole)
    here.replace_uploads([split], whole)
    assert bucket.find(f"{PLACE}/partials") == [
        f"/bucket/audits/partials/{whole.relative_to(tmp_path / 'here/partials')}"
    ]


def test_a_damaged_partial_is_removed_and_made_again(bucket: Any, tmp_path: Path) -> None:
    here = ProfileStore(tmp_path / "here", Remote.open(PLACE))
    path = here.partial_path("tokens", KEY)
    write_partial(path, Partial(("a",), {}))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    bucket.pipe_file(f"{PLACE}/partials/{NAME}", bytes(data))
    there = ProfileStore(tmp_path / "there", Remote.open(PLACE))
    assert not there.has("tokens", KEY) and not there.partial_path("tokens", KEY).exists()
    here.upload([path])
    assert ProfileStore(tmp_path / "again", Remote.open(PLACE)).has("tokens", KEY)


def test_runs_come_back_as_they_were(bucket: Any, tmp_path: Path) -> None:
    output = tmp_path / "runs"
    write_run(output)
    write_run(output, SECOND, "more counts")
    (output / "ledger.jsonl").write_bytes(b"one\n")
    (output / "signoffs").mkdir()
    (output / "signoffs" / f"{FIRST}.dsse.json").write_bytes(b"{}")
    remote = Remote.open(PLACE)
    assert push(remote, output) == [FIRST, SECOND] and push(remote, output) == []
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(UsageError, match="has no run nothing"):
        fetch(remote, other, ["nothing"])
    assert list(fetch(remote, other, [FIRST])) == [FIRST]
    assert (other / "LATEST").read_text() == f"{FIRST}\n"
    assert list(fetch(remote, other)) == [SECOND] and fetch(remote, other) == {}
    assert content(other) == content(output) | {"LATEST": f"{SECOND}\n".encode()}


@pytest.mark.parametrize("written", range(4))
def test_a_run_whose_upload_ended_early_is_not_there(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    output = tmp_path / "runs"
    write_run(output)
    remote, real, calls = Remote.open(PLACE), type(bucket).pipe_file, []

    def failing(self: Any, path: str, value: bytes, **options: Any) -> None:
        if len(calls) == written:
            raise ConnectionResetError("the network is gone")
        calls.append(path)
        real(self, path, value, **options)

    with monkeypatch.context() as patch, pytest.raises(StoreError, match="the network is gone"):
        patch.setattr(type(bucket), "pipe_file", failing)
        push(remote, output)
    assert remote.runs() == []
    assert push(remote, output) == [FIRST] and remote.runs() == [FIRST]


def test_another_run_of_the_name_is_refused_before_a_file_is_touched(bucket: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "one")
    write_run(tmp_path / "two", text="other counts")
    remote = Remote.open(PLACE)
    push(remote, tmp_path / "one")
    with pytest.raises(StoreError, match="another run named"):
        remote.put_run(tmp_path / "two" / FIRST)
    (tmp_path / "back").mkdir()
    fetch(remote, tmp_path / "back")
    assert content(tmp_path / "back" / FIRST) == content(tmp_path / "one" / FIRST)


def naming(file: str) -> bytes:
    """`run.json` of a run of one file."""
    return run_record(files={file: {"sha256": "0" * 64, "bytes": 1}}).to_json()


def test_what_is_damaged_or_unsafe_does_not_come_back(bucket: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "one")
    remote = Remote.open(PLACE)
    push(remote, tmp_path / "one")
    run_url, back = f"{PLACE}/runs/{FIRST}", tmp_path / "back"
    back.mkdir()
    record = bucket.cat_file(f"{run_url}/run.json")
    for name, data, message in (
        ("tables/a.parquet", b"countz", "a.parquet is damaged"),
        ("run.json", b"{", "run.json is damaged"),
        ("run.json", b"{}", "run.json is damaged"),
        ("run.json", naming("../../x"), "unsafe"),
        ("run.json", naming("gone"), "gone is missing"),
    ):
        bucket.pipe_file(f"{run_url}/{name}", data)
        with pytest.raises(StoreError, match=message):
            fetch(remote, back)
        assert not (back / FIRST).exists() and not (back / "LATEST").exists()
        bucket.pipe_file(f"{run_url}/run.json", record)


ENTRIES = st.lists(st.sampled_from([b"a\n", b"b\n"]), max_size=4)


@given(ENTRIES, ENTRIES)
def test_ledgers_only_grow(tmp_path_factory: pytest.TempPathFactory, mine: list[bytes], theirs: list[bytes]) -> None:
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    (one / "ledger.jsonl").write_bytes(b"".join(mine))
    (other / "ledger.jsonl").write_bytes(b"".join(theirs))
    longer = max(mine, theirs, key=len)
    with memory_bucket():
        remote = Remote.open(PLACE)
        push(remote, other)
        if mine[: len(theirs)] == theirs or theirs[: len(mine)] == mine:
            push(remote, one)
            fetch(remote, one)
            fetch(remote, other)
            assert (one / "ledger.jsonl").read_bytes() == (other / "ledger.jsonl").read_bytes() == b"".join(longer)
        else:
            for way in (push, fetch):
                with pytest.raises(StoreError, match="have diverged"):
                    way(remote, one)
            assert (one / "ledger.jsonl").read_bytes() == b"".join(mine)
            fetch(remote, other)
            assert (other / "ledger.jsonl").read_bytes() == b"".join(theirs)


def test_of_two_who_sign_at_once_the_second_is_refused(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Remote.open(PLACE)
    for name in ("one", "two"):
        (tmp_path / name / "signoffs").mkdir(parents=True)
        (tmp_path / name / "ledger.jsonl").write_bytes(f"{name}\n".encode())
        (tmp_path / name / "signoffs" / f"{FIRST}.dsse.json").write_bytes(name.encode())
    nothing = remote._ledgers(tmp_path / "two")
    push(remote, tmp_path / "one")
    monkeypatch.setattr(Remote, "_ledgers", lambda *_: nothing)  # it had looked before the other wrote
    with pytest.raises(StoreError, match="have diverged"):
        push(remote, tmp_path / "two")
    assert bucket.cat_file(f"{PLACE}/signoffs/{FIRST}.dsse.json") == b"one"
