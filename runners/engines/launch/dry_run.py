"""List the steps of a command's portable pipelines without running them (``--dry-run``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from corpus_audit.runners.engines.options import (
    DataflowOptions,
    EmbeddedOptions,
    EngineOptions,
    Environment,
    FlinkOptions,
)
from corpus_audit.schemas.spec.audit import AuditSpec

if TYPE_CHECKING:
    from corpus_audit.pipelines.beam.portable import Step


def steps_of(spec: AuditSpec, options: EngineOptions, index: bool) -> Iterator[Step]:
    """The steps of ``corpus-audit run`` (of ``corpus-audit index`` if ``index``) as the engine would get them.

    Nothing is read: one element stands for all shards, splits or partials. Merging is repeated, once for each level of
    the tree.
    """
    from corpus_audit.pipelines.beam import steps
    from corpus_audit.pipelines.beam.portable import pipeline_steps

    nothing: Any = None
    if index:
        hints = {}
        if isinstance(options, DataflowOptions) and options.accelerator is not None:
            hints = {"accelerator": options.accelerator}
        builds = {"performed": steps.task_steps(nothing, [0], hints)}
    else:
        builds = {"plans": steps.planning_steps(nothing, [nothing])}
        builds["results"] = steps.counting_steps(nothing, [nothing], {})
        if spec.contamination_spec is not None and spec.contamination_spec.decoys:
            builds["decoys"] = steps.decoy_steps(nothing, [nothing], 0, ())
        builds["merged"] = steps.merging_steps([nothing])
    for name, build in builds.items():
        yield from pipeline_steps(name, build, _environment(options))


def _environment(options: EngineOptions) -> list[str]:
    """Beam's flags for the environment of Python code."""
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


def stage_lines(pipeline_steps: Sequence[Step]) -> Iterator[str]:
    """The pipelines with their stages and steps, as lines of at most 80 columns."""
    before = ("", 0)
    for step in pipeline_steps:
        if step.pipeline != before[0]:
            yield f"{step.pipeline}"
        if (step.pipeline, step.stage) != before:
            yield f"  stage {step.stage}"
        before = step.pipeline, step.stage
        more = "".join(f"  {name}: {value}" for name, value in step.hints.items())
        yield f"    {step.kind:8} {step.environment:16} {step.name}{more}"
