"""kill -9 at moments all over a run, then the same command again: nothing torn is published, nothing is read twice.

Half of the kills wait for a number of partials in the store, half for a share of the time that a run takes. Numbers and
shares are drawn one from each of `STRATA` equal parts of their range, so that no stage of a run is left out: start,
reading, the last partials, merging, publishing, and just after the end.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import corpora
from tests.engine.runs import DOCUMENT_FIELDS, partials_of, run, write_audit
from tests.oracle import Document

pytestmark = [pytest.mark.engine, pytest.mark.slow]

STRATA = 6
KILLS = 2 * STRATA
MEASURES = 10
OLD_SHARDS = 12
SHARDS = 24


@dataclass(frozen=True)
class Scene:
    """A corpus of many shards, and the folder of a finished run over half of them."""

    old_spec: Path
    spec: Path
    old_tables: dict[str, str]
    tables: dict[str, str]
    seconds: float


def command(spec: Path) -> list[str]:
    return [sys.executable, "-m", "corpus_audit.runners.cli.main", "run", str(spec), "--quiet", "--workers", "2"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, bpe: Path) -> Scene:
    folder = tmp_path_factory.mktemp("kill")
    documents: list[Document] = corpora.with_duplicates(corpora.real_documents(8))
    fields = {"document": {**DOCUMENT_FIELDS, "facets": {"kind": "kind"}}}
    shards = corpora.write_shards(folder / "shards", corpora.deal(documents, SHARDS), "parquet")
    old_spec = write_audit(folder / "old", shards[:OLD_SHARDS], bpe, **fields)
    old = run(old_spec, workers=2)
    spec = write_audit(folder / "new", shards, bpe, **fields)
    began = time.monotonic()
    subprocess.run(command(spec), check=True, capture_output=True)
    seconds = time.monotonic() - began
    new = run(spec, workers=2)
    return Scene(old_spec, spec, old.integer_tables(), new.integer_tables(), seconds)


def published(output: Path) -> list[Path]:
    """The run directories of an output folder; what is being staged has a name with a dot in front."""
    return sorted(path for path in output.glob("*") if path.is_dir() and not path.is_symlink() and path.name[0] != ".")


def torn(run_dir: Path) -> list[str]:
    """What is wrong with a run directory: files missing, unlisted, or other than run.json says."""
    record = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    listed = {name: entry["sha256"] for name, entry in record["files"].items()}
    result = {
        path.relative_to(run_dir).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run_dir.rglob("*")
        if path.is_file() and path.name != "run.json"
    }
    return sorted(name for name in listed.keys() | result.keys() if listed.get(name) != result.get(name))


def complete_splits(output: Path) -> int:
    """Splits all of whose measures are in the store: a split's partials are written one measure after the other."""
    counts = Counter(path.relative_to(output).parts[2] for path in partials_of(output))
    return min(counts.values()) if len(counts) == MEASURES else 0


def kill(process: subprocess.Popen[bytes], after: float, output: Path, partials: int) -> bool:
    """Kill after some seconds, or when the store holds so many partials; False if the process had ended by itself."""
    deadline = time.monotonic() + after
    while process.poll() is None:
        if time.monotonic() >= deadline or len(partials_of(output)) >= partials:
            process.kill()
            process.wait()
            return True
        time.sleep(0.005)
    assert process.returncode == 0
    return False


def partials_in(output: Path) -> dict[Path, tuple[int, int]]:
    """(inode, time of the last write) of every partial in the store."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in partials_of(output)}


@pytest.mark.parametrize("start", ["from nothing", "over an old run"])
def test_killed_runs_leave_whole_directories_and_resume(tmp_path: Path, scene: Scene, start: str) -> None:
    rng = random.Random(start)
    seen: Counter[str] = Counter()
    seconds = scene.seconds
    for number in itertools.count():
        if seen["killed"] == KILLS:
            break
        assert number < 2 * KILLS, seen
        work = tmp_path / str(number)
        work.mkdir()
        spec = work / "audit.yaml"
        shutil.copyfile(scene.spec, spec)
        output = work / "runs"
        if start == "over an old run":
            shutil.copytree(scene.old_spec.parent / "runs", output, symlinks=True)
        before = published(output)

        stored = len(partials_of(output))
        share = (number // 2 % STRATA + rng.random()) / STRATA
        if number % 2:
            moment, enough = (0.3 + 0.75 * share) * seconds, MEASURES * SHARDS + 1
        else:
            moment, enough = 60.0, stored + 1 + int(share * (MEASURES * SHARDS - stored))
        began = time.monotonic()
        process = subprocess.Popen(command(spec), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if kill(process, moment, output, enough):
            seen["killed"] += 1
        else:  # it was quicker than the first of all runs, which had to wait for the disk: later moments know that
            seconds = min(seconds, time.monotonic() - began)

        for run_dir in published(output):
            assert torn(run_dir) == []
        left = partials_in(output)
        complete = complete_splits(output)

        resumed = run(spec, workers=2)
        assert resumed.integer_tables() == scene.tables
        assert torn(resumed.folder) == []
        assert set(before) < set(published(output))
        assert (resumed.splits_read, resumed.splits_cached) == (SHARDS - complete, complete)
        after = partials_in(output)
        rewritten = [path.name for path, stamp in left.items() if path in after and after[path] != stamp]
        assert rewritten == []
        seen["in the midst of reading"] += 0 < resumed.splits_read < SHARDS - len(before) * OLD_SHARDS
        shutil.rmtree(work)
    assert seen["in the midst of reading"] >= STRATA // 2, seen
