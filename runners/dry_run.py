"""What an engine would be given: the portable pipelines of a command, without running them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus_audit.runners.engine_options import (
    DataflowOptions,
    EmbeddedOptions,
    EngineOptions,
    Environment,
    FlinkOptions,
)
from corpus_audit.schemas.audit import AuditSpec

_HINTS = {"beam:resources:accelerator:v1": "accelerator"}
_KINDS = {
    "beam:transform:impulse:v1": "source",
    "beam:transform:group_by_key:v1": "shuffle",
    "beam:transform:combine_per_key:v1": "combine",
    "beam:transform:combine_globally:v1": "combine",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a pipeline.

    Attributes:
        pipeline: the job's name; stage: from 1 on, a new one after every shuffle.
        name: the step's, with those that it is part of.
        kind: ``source``, ``shuffle``, ``combine`` or ``work``.
        environment: where it runs: Beam's name of the kind, and the program or image.
        hints: resource hints, by name.
    """

    pipeline: str
    stage: int
    name: str
    kind: str
    environment: str
    hints: dict[str, str]


def steps_of(spec: AuditSpec, options: EngineOptions, index: bool) -> Iterator[Step]:
    """The steps of ``run``, or with ``index`` of ``index``, as an engine would be given them.

    Shards, splits and partials come in as elements, one stands for all of them here; nothing is read. Merging is
    repeated, a level of the tree each time.
    """
    from corpus_audit.pipelines.beam import steps

    nothing: Any = None
    if index:
        hints = {}
        if isinstance(options, DataflowOptions) and options.accelerator is not None:
            hints = {"accelerator": options.accelerator}
        builds = {"performed": steps.performing(nothing, [0], hints)}
    else:
        builds = {"plans": steps.planning(nothing, [nothing])}
        if spec.contamination_spec is not None:
            builds["decoys"] = steps.picking(nothing, [nothing], 0, ())
        builds["results"] = steps.counting(nothing, [nothing], {})
        builds["merged"] = steps.merging([nothing])
    for name, build in builds.items():
        yield from _steps(name, build, options)


def _steps(name: str, build: Any, options: EngineOptions) -> Iterator[Step]:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.portable_runner import PortableRunner

    from corpus_audit.pipelines.beam.profile import Collect

    flags = PipelineOptions(flags=_environment(options))
    pipeline = beam.Pipeline(runner=PortableRunner(), options=flags)
    _ = build(pipeline) | "Collect" >> Collect(Path("collected"))
    environment = PortableRunner._create_environment(flags)
    proto = pipeline.to_runner_api(default_environment=environment)
    transforms, environments = proto.components.transforms, proto.components.environments
    stages: dict[str, int] = {}  # by collection

    def leaves(key: str) -> Iterator[Any]:
        transform = transforms[key]
        if not transform.subtransforms:
            yield transform
        for part in transform.subtransforms:
            yield from leaves(part)

    for root in proto.root_transform_ids:
        for transform in leaves(root):
            kind = _KINDS.get(transform.spec.urn, "work")
            stage = max((stages.get(one, 1) for one in transform.inputs.values()), default=1)
            for made in transform.outputs.values():
                stages[made] = stage + (kind == "shuffle")
            hints: dict[str, str] = {}
            where = "engine"
            if kind == "work" and transform.environment_id:
                found = environments[transform.environment_id]
                where = found.urn.split(":")[2]
                hints = {_HINTS.get(urn, urn): value.decode() for urn, value in found.resource_hints.items()}
            yield Step(name, stage, transform.unique_name, kind, where, hints)


def _environment(options: EngineOptions) -> list[str]:
    """Flags of Beam that say where Python code runs."""
    if isinstance(options, EmbeddedOptions):
        return ["--environment_type=beam:env:embedded_python:v1"]
    if isinstance(options, DataflowOptions):
        image = next(
            (flag.partition("=")[2] for flag in options.beam_flags if flag.startswith("--sdk_container_image=")), ""
        )
        return ["--environment_type=DOCKER", f"--environment_config={image}"]
    assert isinstance(options, FlinkOptions) or options.endpoint
    if options.environment is Environment.LOOPBACK:
        return ["--environment_type=EXTERNAL", "--environment_config=localhost:0"]
    return ["--environment_type=PROCESS", '--environment_config={"command": "corpus-audit-worker"}']


def stage_lines(found: list[Step]) -> Iterator[str]:
    """Lines for a terminal of 80 columns."""
    before = ("", 0)
    for step in found:
        if step.pipeline != before[0]:
            yield f"{step.pipeline}"
        if (step.pipeline, step.stage) != before:
            yield f"  stage {step.stage}"
        before = step.pipeline, step.stage
        more = "".join(f"  {name}: {value}" for name, value in step.hints.items())
        yield f"    {step.kind:8} {step.environment:16} {step.name}{more}"
