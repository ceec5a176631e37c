"""Select decoys from the splits of a run and search for them in the same splits; see `contamination.decoys`.

The selection depends only on the snapshot. The store avoids reading the same splits again for the same selection.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.pipelines.contamination.decoys import DECOY_VERSION, Decoy, select_decoy_splits
from corpus_audit.pipelines.contamination.index import build_decoy_index
from corpus_audit.pipelines.contamination.measure import Decoys
from corpus_audit.pipelines.contamination.selfcheck import DecoyEvidence
from corpus_audit.pipelines.counting.job import Job, SplitTask
from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.runners.audit.benchmarks import Benchmarks
from corpus_audit.runners.audit.counting.second_pass import count_again
from corpus_audit.runners.audit.counting.shard_states import ShardState
from corpus_audit.schemas.run.snapshot import Split

if TYPE_CHECKING:
    from corpus_audit.runners.engines.launch.engines import Engine
    from corpus_audit.runners.engines.launch.local import LocalEngine


@dataclass(frozen=True)
class DecoySearch:
    """Decoys, and where they were searched for.

    Attributes:
        decoys: ascending by hash.
        measure: of their index; None without a decoy.
        sources: the partials to merge, one a shard, as often as the shard is there.
        share: share of the corpus, by size of splits, in which they were searched for.
    """

    decoys: tuple[Decoy, ...]
    measure: Decoys | None
    sources: tuple[Path, ...]
    share: float

    def evidence(self, profile: Profile) -> DecoyEvidence | None:
        """The merged matches of the decoys; None without a decoy."""
        if self.measure is None:
            return None
        return DecoyEvidence(self.measure.scanner.index, profile.merged_partial(self.measure), self.share)


NO_DECOYS = DecoySearch((), None, (), 0.0)


def search_decoys(
    benchmarks: Benchmarks, job: Job, engine: Engine | LocalEngine, states: Sequence[ShardState], board: Board
) -> DecoySearch:
    """Select decoys and search for them.

    Args:
        benchmarks: give the number of decoys and their lengths.
        job: the audit's.
        engine: what reads.
        states: shards that were counted; those with an error are left out.
        board: for progress.

    Raises:
        NoVerdictError: a split that was counted can no longer be read.
    """
    if not benchmarks.spec.decoys:
        return NO_DECOYS
    counted = [state for state in states if state.error is None]
    pairs = [(state, split) for state in counted for split in state.planned.sampled]
    sample = [pairs[at] for at in select_decoy_splits([(s.sha256, p.start, p.stop, p.weight) for s, p in pairs])]
    contents = sorted({(state.sha256, split.start, split.stop) for state, split in sample})
    digest = hashlib.sha256(json.dumps(contents).encode()).hexdigest()
    decoys = _choose(benchmarks, job, engine, sample, digest, board)
    if not decoys:
        return NO_DECOYS
    index = build_decoy_index(benchmarks.read, decoys, job.tokenization, job.scratch)
    measure = Decoys(index, digest)
    sources = count_again(job, measure, engine, sample, board, "looking for decoys")
    size = sum(split.weight for _, split in pairs)
    share = sum(split.weight for _, split in sample) / size if size and len(sample) < len(pairs) else 1.0
    return DecoySearch(decoys, measure, sources, share)


def _choose(
    benchmarks: Benchmarks,
    job: Job,
    engine: Engine | LocalEngine,
    sample: Sequence[tuple[ShardState, Split]],
    digest: str,
    board: Board,
) -> tuple[Decoy, ...]:
    """Select decoys, or load the stored selection if it was made from the same inputs."""
    path = benchmarks.folder / f"{benchmarks.digest}-{benchmarks.spec.decoys}.decoys.json"
    depends = [DECOY_VERSION, digest, job.keys.reading, benchmarks.spec.decoys, list(benchmarks.lengths)]
    inputs = hashlib.sha256(json.dumps(depends).encode()).hexdigest()
    with suppress(OSError, ValueError, TypeError, KeyError):  # not there, damaged, or of an earlier version
        kept = json.loads(path.read_bytes())
        if kept["inputs"] == inputs:
            return tuple(
                Decoy(int(row["hash"][:16], 16), int(row["hash"][16:], 16), row["text"]) for row in kept["decoys"]
            )
    first = {(state.sha256, split.start): (state, split) for state, split in reversed(sample)}
    tasks = [SplitTask(i, state.shard, state.sha256, split, ()) for i, (state, split) in enumerate(first.values())]
    board.begin_stage("choosing decoys", total_bytes=sum(task.split.weight for task in tasks))
    decoys = engine.pick_decoys(job, tasks, benchmarks.spec.decoys, benchmarks.lengths)
    rows = [{"hash": f"{decoy.high:016x}{decoy.low:016x}", "text": decoy.text} for decoy in decoys]
    benchmarks.folder.mkdir(parents=True, exist_ok=True)
    content = {"inputs": inputs, "decoys": rows}
    atomic_write(path, json.dumps(content, ensure_ascii=False, indent=1).encode())
    return decoys
