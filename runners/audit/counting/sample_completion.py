"""Completes the sample of whole documents where shards were counted in a run of a larger corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.pipelines.counting.job import Job
from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.measures.document_sample import (
    CompleteDocumentSample,
    DocumentSample,
    incomplete_domains,
    limited_domains,
)
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.runners.audit.counting.second_pass import count_again
from corpus_audit.runners.audit.counting.shard_states import ShardState

if TYPE_CHECKING:
    from corpus_audit.runners.engines.launch.engines import Engine
    from corpus_audit.runners.engines.launch.local import LocalEngine


def complete_sample(
    profile: Profile,
    job: Job,
    engine: Engine | LocalEngine,
    states: Sequence[ShardState],
    board: Board,
) -> tuple[Profile, tuple[Path, ...]]:
    """The profile with every document that belongs to the sample, and the further partials of the store used for it.

    Nothing is read again unless the store has partials of a run in which other shards, which are no longer there, had
    documents of lower keys; see `pipelines.measures.document_sample`.

    Args:
        profile: the merged counts.
        job: the audit's.
        engine: what reads and merges.
        states: the shards; those with an error are left out.
        board: for progress.

    Raises:
        StoreError: a partial is damaged.
        NoVerdictError: a split that was counted can no longer be read.
    """
    name, table = DocumentSample.name, "documents"
    if (name, table) not in profile.files:
        return profile, ()
    lacking = incomplete_domains(profile.reader(name, table))
    if not lacking:
        return profile, ()
    counted = [state for state in states if state.error is None]
    again, sources = [], []
    for state in counted:
        path = job.path_of(name, state.shard, state.sha256)
        if lacking & limited_domains(PartialReader(path)):
            again.append(state)
        else:
            sources.append(path)
    complete = CompleteDocumentSample()
    pairs = [(state, split) for state in again for split in state.planned.sampled]
    further = count_again(job, complete, engine, pairs, board, "reading documents of the sample")
    merged = engine.merge({complete: [*sources, *further]})
    files = {(name, table): path for (_, table), path in merged.items()}
    return replace(profile, files=profile.files | files), further
