"""Takes copies beyond a baseline's number out of the counters of shared documents; see `pipelines.counting.surplus`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpus_audit.pipelines.counting.job import Job
from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.counting.surplus import (
    SurplusCopies,
    SurplusCounters,
    holds_texts,
    surplus_copies,
    without_surplus,
)
from corpus_audit.pipelines.measures.duplicates import Duplicates
from corpus_audit.pipelines.measures.overlap.document_keys import StoredKeys
from corpus_audit.pipelines.measures.overlap.shared import Shared
from corpus_audit.pipelines.measures.overlap.surplus_texts import SurplusTexts
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.runners.audit.baselines import Baseline
from corpus_audit.runners.audit.counting.second_pass import count_again
from corpus_audit.runners.audit.counting.shard_states import ShardState

if TYPE_CHECKING:
    from corpus_audit.runners.engines.launch.engines import Engine
    from corpus_audit.runners.engines.launch.local import LocalEngine


def take_out_surplus(
    profile: Profile,
    baselines: Sequence[Baseline],
    job: Job,
    engine: Engine | LocalEngine,
    states: Sequence[ShardState],
    board: Board,
) -> tuple[Profile, tuple[Path, ...]]:
    """The profile with exact counters of shared documents, and the partials of the store that went into it.

    Nothing is read where no text has more copies than in the baseline.

    Args:
        profile: the merged counts.
        baselines: of the audit.
        job: the audit's, with the measures of the baselines.
        engine: what reads and merges.
        states: the shards; those with an error are left out.
        board: for progress.

    Raises:
        StoreError: a table of a baseline or a partial is damaged.
        NoVerdictError: a split that was counted can no longer be read.
    """
    counted = [state for state in states if state.error is None]
    used: list[Path] = []
    for baseline in baselines:
        measure = baseline.measure
        unshared = [
            job.path_of(Duplicates.name, state.shard, state.sha256) for state in _unshared(measure, job, counted)
        ]
        texts = surplus_copies(profile, baseline.run, measure, unshared)
        if not len(texts):
            continue
        surplus = SurplusTexts(*_stored(texts, measure, job.scratch))
        # Of clustered documents, copies matter by cluster, and those beyond the baseline's number are in new shards.
        within = [s for s in counted if measure.wants(s.sha256, job.spec)] if profile.clustered else counted
        shards = _shards_with(texts, job, within, all_of_them=profile.clustered)
        pairs = [(state, split) for state in shards for split in state.planned.sampled]
        sources = count_again(job, surplus, engine, pairs, board, "counting further copies")
        merged = engine.merge({surplus: list(sources)})
        reader = PartialReader(merged[surplus.name, "texts"])
        counters = SurplusCounters.of(reader, texts, profile.clustered)
        profile = without_surplus(profile, measure, counters, job.scratch)
        used += sources
    return profile, tuple(used)


def _unshared(measure: Shared, job: Job, states: Sequence[ShardState]) -> list[ShardState]:
    """Further copies of shards that the baseline has: `merging.merge_counts` counts none of their texts as shared."""
    left = dict(measure.keys.shards)
    further = []
    for state in states:
        if measure.wants(state.sha256, job.spec):
            continue
        left[state.sha256] -= 1
        if left[state.sha256] < 0:
            further.append(state)
    return further


def _stored(texts: SurplusCopies, measure: Shared, scratch: Path) -> tuple[StoredKeys, str]:
    """The keys of the texts in a folder that workers see, and their digest."""
    content = np.concatenate([texts.high, texts.low]).tobytes()
    digest = hashlib.sha256(measure.keys.digest.encode() + content).hexdigest()
    folder = scratch / f"surplus-{digest[:16]}"
    StoredKeys.write(folder, texts.high, texts.low)
    return StoredKeys(folder), digest


def _shards_with(texts: SurplusCopies, job: Job, states: Sequence[ShardState], all_of_them: bool) -> list[ShardState]:
    """Shards that hold every text at least once, or all shards that hold any."""
    lacking = np.ones(len(texts), bool)
    shards = []
    for state in states:
        present = holds_texts(job.path_of(Duplicates.name, state.shard, state.sha256), texts)
        if (present & lacking).any() or (all_of_them and present.any()):
            shards.append(state)
            lacking &= ~present
    return shards
