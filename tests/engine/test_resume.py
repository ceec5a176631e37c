"""What an earlier run has counted is not read again: the same corpus, more of it, less of it, other settings."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import corpora
from tests.engine.runs import DOCUMENT_FIELDS, Run, partials_of, run, write_audit
from tests.oracle import Document

pytestmark = pytest.mark.engine

FIELDS = {**DOCUMENT_FIELDS, "facets": {"kind": "kind"}}
SHARDS = 4
HOUR_AGO = time.time() - 3600


class Corpus:
    """A folder of four shards, an audit of it, and the tables of a fresh run."""

    def __init__(self, folder: Path, documents: list[Document], tokenizer: Path) -> None:
        self.folder = folder
        self.tokenizer = tokenizer
        self.parts = corpora.deal(documents, SHARDS + 1)
        self.shards = corpora.write_shards(folder / "shards", self.parts[:SHARDS], "parquet")
        for shard in self.shards:  # a digest is only remembered of files that have been as they are for a while
            os.utime(shard, (HOUR_AGO, HOUR_AGO))

    def spec(self, where: str = "work", **changes: object) -> Path:
        """An audit whose output and store lie in the folder ``where``."""
        fields = {"document": FIELDS, **changes}
        return write_audit(self.folder / where, [self.folder / "shards"], self.tokenizer, **fields)

    def run(self, where: str = "work", **changes: object) -> Run:
        """Run in the folder ``where``."""
        return run(self.spec(where, **changes), workers=2)

    def fresh(self, **changes: object) -> dict[str, str]:
        """The integer tables of a run that finds nothing in its store."""
        shutil.rmtree(self.folder / "fresh", ignore_errors=True)
        actual = self.run("fresh", **changes)
        assert actual.splits_cached == 0
        return actual.integer_tables()

    @property
    def partials(self) -> list[Path]:
        """The partial profiles in the store."""
        return partials_of(self.folder / "work" / "runs")


@pytest.fixture
def corpus(tmp_path: Path, small_corpus: list[Document], bpe: Path) -> Corpus:
    return Corpus(tmp_path, small_corpus, bpe)


def test_a_second_run_reads_nothing(corpus: Corpus) -> None:
    first = corpus.run()
    assert (first.splits_read, first.splits_cached) == (SHARDS, 0)
    second = corpus.run()
    assert (second.splits_read, second.splits_cached) == (0, SHARDS)
    assert second.folder != first.folder
    assert second.integer_tables() == first.integer_tables() == corpus.fresh()


def test_a_new_shard_is_read_alone(corpus: Corpus) -> None:
    corpus.run()
    corpora.write_shard(corpus.folder / "shards" / "a-new-one.parquet", corpus.parts[SHARDS])
    grown = corpus.run()
    assert (grown.splits_read, grown.splits_cached) == (1, SHARDS)
    assert grown.integer_tables() == corpus.fresh()


def overwrite_unseen(path: Path) -> None:
    """Replace the pages of a Parquet file by zeros; its footer, size and times stay, so that it looks unchanged."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        footer = int.from_bytes(file.read(4), "little") + 8
        file.seek(0)
        file.write(bytes(before.st_size - footer))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_removed_shard_is_retracted_without_reading(corpus: Corpus) -> None:
    corpus.run()
    corpus.shards[1].unlink()
    expected = corpus.fresh()
    for shard in (corpus.shards[0], *corpus.shards[2:]):
        overwrite_unseen(shard)
    left = corpus.run()
    assert (left.splits_read, left.splits_cached) == (0, SHARDS - 1)
    assert left.integer_tables() == expected


def test_a_changed_shard_is_read_again(corpus: Corpus) -> None:
    corpus.run()
    corpora.write_shard(corpus.shards[2], corpus.parts[SHARDS])
    changed = corpus.run()
    assert (changed.splits_read, changed.splits_cached) == (1, SHARDS - 1)
    assert changed.integer_tables() == corpus.fresh()


def test_identical_shards_count_twice(corpus: Corpus) -> None:
    corpus.run()
    shutil.copyfile(corpus.shards[0], corpus.folder / "shards" / "the-same-again.parquet")
    twice = corpus.run()
    assert twice.splits_read == 0
    assert twice.integer_tables() == corpus.fresh()
    documents = sum(row["documents"] for row in twice.rows("domains") if row["facet"] == "domain")
    assert documents == sum(map(len, corpus.parts[:SHARDS])) + len(corpus.parts[0])


def test_a_renamed_shard_is_not_read(corpus: Corpus) -> None:
    first = corpus.run()
    corpus.shards[0].rename(corpus.folder / "shards" / "z-moved.parquet")
    moved = corpus.run()
    assert (moved.splits_read, moved.splits_cached) == (0, SHARDS)
    assert moved.integer_tables() == first.integer_tables()


def test_a_setting_of_one_measure_recomputes_that_measure_alone(corpus: Corpus) -> None:
    first = corpus.run()
    before = set(corpus.partials)
    changed = corpus.run(excerpts=False)
    added = set(corpus.partials) - before
    assert changed.splits_read == SHARDS
    assert {path.relative_to(corpus.folder).parts[4] for path in added} == {"samples"}
    assert changed.integer_tables() == corpus.fresh(excerpts=False)
    same = [table for table, digest in changed.integer_tables().items() if first.integer_tables()[table] == digest]
    assert "samples" not in same
    assert len(same) == len(first.integer_tables()) - 1


def test_another_name_or_mixture_reads_nothing(corpus: Corpus) -> None:
    first = corpus.run()
    renamed = corpus.run(name="another", mixture={"weights": {"stdlib": 1.0}})
    assert renamed.splits_read == 0
    assert renamed.integer_tables() == first.integer_tables()


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_a_damaged_partial_is_computed_again(corpus: Corpus, damage: str) -> None:
    first = corpus.run()
    partials = corpus.partials
    victim = partials[len(partials) // 2]
    data = bytearray(victim.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    victim.write_bytes({"flipped": data, "cut": data[:-5], "emptied": b""}[damage])
    repaired = corpus.run()
    assert repaired.splits_read == 1
    assert repaired.integer_tables() == first.integer_tables()
    assert corpus.run().splits_read == 0


def test_the_second_of_two_runs_into_one_output_is_refused(corpus: Corpus) -> None:
    spec = corpus.spec()
    command = [sys.executable, "-m", "corpus_audit.runners.cli.main", "run", str(spec), "--quiet"]
    lock = corpus.folder / "work" / "runs" / ".lock"
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 300
        while not _is_held(lock):
            assert first.poll() is None and time.monotonic() < deadline, "the first run never took the lock"
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)
        second = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert second.returncode == 6, second.stderr
        assert str(first.pid) in second.stderr
        assert second.stdout == ""
        first.send_signal(signal.SIGCONT)
        _, errors = first.communicate(timeout=120)
        assert first.returncode == 0, errors
    finally:
        first.kill()
        first.communicate()


def _is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_removing_most_shards_does_not_leave_too_few_verified(tmp_path: Path, bpe: Path) -> None:
    """Each of many shards verifies few documents; the few that stay must then verify more."""
    documents = [Document(f"document number {n} of many", str(n), {"domain": "all"}) for n in range(9000)]
    shards = corpora.write_shards(tmp_path / "shards", corpora.deal(documents, 75), "parquet")
    spec = write_audit(tmp_path / "work", [tmp_path / "shards"], bpe, document={"text": "text", "domain": "domain"})
    assert run(spec, workers=2).record["complete"]
    for shard in shards[10:]:
        shard.unlink()
    fewer = run(spec, workers=2)
    assert fewer.splits_read == 0
    assert fewer.record["complete"], fewer.record["reasons"]
