"""Merge the counts of all shards into the profile of the corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.pipelines.counting.job import Job
from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.measures.overlap.shared import Shared
from corpus_audit.pipelines.measures.tokens import Tokens
from corpus_audit.runners.audit.counting.shard_states import ShardState
from corpus_audit.schemas.spec.audit import AuditSpec

if TYPE_CHECKING:
    from corpus_audit.runners.engines.launch.engines import Engine
    from corpus_audit.runners.engines.launch.local import LocalEngine


def merge_counts(
    engine: Engine | LocalEngine,
    spec: AuditSpec,
    job: Job,
    states: Sequence[ShardState],
    further: Mapping[Measure, Sequence[Path]],
) -> Profile:
    """Merge the partials of every shard that was counted.

    Args:
        engine: what merges.
        spec: the audit's.
        job: names the measures and their partials.
        states: all shards; those with an error are left out.
        further: partials of measures that are not the job's.
    """
    counted = [state for state in states if state.error is None]
    sources = {measure: _sources(measure, job, spec, counted) for measure in job.measures if measure.merges}
    sources |= {measure: list(paths) for measure, paths in further.items()}
    facets = ("domain", *sorted(spec.document.facets))
    return Profile(engine.merge(sources), facets, spec.document.cluster is not None)


def _sources(measure: Measure, job: Job, spec: AuditSpec, states: Sequence[ShardState]) -> list[Path]:
    """The shards' partials of a measure.

    Of what the corpus shares with a baseline: a shard that the baseline holds with the same bytes is shared as a whole.
    It was not counted for this measure, and its partial of tokens says the same. As many copies of a shard are shared
    as the baseline has; further ones are new.
    """
    if not isinstance(measure, Shared):
        return [job.path_of(measure.name, state.shard, state.sha256) for state in states]
    paths = []
    unmatched = dict(measure.keys.shards)
    for state in states:
        if measure.wants(state.sha256, spec):
            paths.append(job.path_of(measure.name, state.shard, state.sha256))
        elif unmatched[state.sha256] > 0:
            unmatched[state.sha256] -= 1
            paths.append(job.path_of(Tokens.name, state.shard, state.sha256))
    return paths
