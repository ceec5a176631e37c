"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corpus_audit.pipelines.storage import atomic
from corpus_audit.pipelines.storage.atomic import AtomicFile, atomic_write, publish_folder


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("durable", [False, True])
def test_the_old_file_stays_until_the_block_ends(tmp_path: Path, durable: bool) -> None:
    file_path = tmp_path / "new folder" / "file"
    atomic_write(file_path, b"old")
    with AtomicFile(file_path, durable) as file:
        file.write(b"ne")
        file.write(memoryview(b"w"))
        assert file_path.read_bytes() == b"old"
    assert file_path.read_bytes() == b"new"
    assert names(file_path.parent) == ["file"]


def test_an_exception_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    atomic_write(tmp_path / "file", b"old")
    with pytest.raises(KeyError), AtomicFile(tmp_path / "file") as file:
        file.write(b"new")
        raise KeyError
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_failing_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError("disk")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk"):
        atomic_write(tmp_path / "file", b"new")
    assert names(tmp_path) == []


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with AtomicFile(tmp_path / "file") as first, AtomicFile(tmp_path / "file") as second:
        first.write(b"one")
        second.write(b"two")
    assert (tmp_path / "file").read_bytes() == b"one"
    assert names(tmp_path) == ["file"]


def test_durable_files_and_folders_are_synced_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace, rename = os.fsync, Path.replace, Path.rename
    monkeypatch.setattr(os, "fsync", lambda d: (done.append(f"sync {Path(f'/proc/self/fd/{d}').readlink()}"), sync(d)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append("rename"), replace(self, target))[1])
    monkeypatch.setattr(Path, "rename", lambda self, target: (done.append("rename"), rename(self, target))[1])
    atomic_write(tmp_path / "file", b"x")
    assert [what.split()[0] for what in done] == ["sync", "rename", "sync"]
    assert done[-1] == f"sync {tmp_path}"
    done.clear()
    staged = tmp_path / "staged"
    (staged / "inner").mkdir(parents=True)
    (staged / "inner" / "a").write_bytes(b"a")
    (staged / "b").write_bytes(b"b")
    publish_folder(staged, tmp_path / "place")
    before = set(done[: done.index("rename")])
    assert before == {f"sync {staged / name}" for name in ("inner", "inner/a", "b")} | {f"sync {staged}"}
    assert done[done.index("rename") :] == ["rename", f"sync {tmp_path}"]
    with AtomicFile(tmp_path / "again") as file:
        file.write(b"x")
    assert done[-1] == "rename"


def test_a_folder_never_replaces_another(tmp_path: Path) -> None:
    for name in ("staged", "place"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with pytest.raises(FileExistsError):
        publish_folder(tmp_path / "staged", tmp_path / "place")
    assert (tmp_path / "place" / "file").read_text() == "place"
    assert (tmp_path / "staged" / "file").read_text() == "staged"


def test_a_missing_folder_cannot_be_synced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.fsync_folder(tmp_path / "absent")
