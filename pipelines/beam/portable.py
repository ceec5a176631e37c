"""The steps of a pipeline in Beam's portable representation, as an engine receives it; nothing is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.portable_runner import PortableRunner

from corpus_audit.pipelines.beam.profile import Collect
from corpus_audit.pipelines.beam.steps import Build

_HINTS = {"beam:resources:accelerator:v1": "accelerator"}
_KINDS = {
    "beam:transform:impulse:v1": "source",
    "beam:transform:group_by_key:v1": "shuffle",
    "beam:transform:combine_per_key:v1": "combine",
    "beam:transform:combine_globally:v1": "combine",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One transform of a pipeline.

    Attributes:
        pipeline: the job's name; stage: from 1 on, a new one after every shuffle.
        name: the step's full name, such as ``Collect/Write``.
        kind: ``source``, ``shuffle``, ``combine`` or ``work``.
        environment: where it runs: Beam's name for the kind of environment, or ``engine``.
        hints: resource hints, by name.
    """

    pipeline: str
    stage: int
    name: str
    kind: str
    environment: str
    hints: dict[str, str]


def pipeline_steps(name: str, build: Build, flags: Sequence[str]) -> Iterator[Step]:
    """The steps of a pipeline and of the `Collect` at its end; Beam's ``flags`` say where Python code runs."""
    options = PipelineOptions(flags=list(flags))
    pipeline = beam.Pipeline(runner=PortableRunner(), options=options)
    _ = build(pipeline) | "Collect" >> Collect(Path("collected"))
    environment = PortableRunner._create_environment(options)
    proto = pipeline.to_runner_api(default_environment=environment)
    transforms, environments = proto.components.transforms, proto.components.environments
    stages: dict[str, int] = {}  # stage in which each collection is available

    def leaves(key: str) -> Iterator[Any]:
        transform = transforms[key]
        if not transform.subtransforms:
            yield transform
        for child in transform.subtransforms:
            yield from leaves(child)

    for root in proto.root_transform_ids:
        for transform in leaves(root):
            kind = _KINDS.get(transform.spec.urn, "work")
            stage = max((stages.get(collection, 1) for collection in transform.inputs.values()), default=1)
            for output in transform.outputs.values():
                stages[output] = stage + (kind == "shuffle")
            hints: dict[str, str] = {}
            location = "engine"
            if kind == "work" and transform.environment_id:
                worker_environment = environments[transform.environment_id]
                location = worker_environment.urn.split(":")[2]
                hints = {
                    _HINTS.get(urn, urn): value.decode() for urn, value in worker_environment.resource_hints.items()
                }
            yield Step(name, stage, transform.unique_name, kind, location, hints)
