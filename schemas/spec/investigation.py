"""The investigation spec: what ``investigation.yaml`` may say. Strict, frozen, every unknown key an error."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from corpus_audit.schemas.spec.local_paths import PathText


class _InvestigationModel(BaseModel):
    """Base of every part, as strict as the audit spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Identity = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Step = Annotated[int, Field(ge=0, le=2**62)]
Amount = Annotated[float, Field(gt=0.0, le=1e20, allow_inf_nan=False)]
Words = Annotated[str, Field(min_length=1, max_length=200)]


class TrainingRun(_InvestigationModel):
    """A training run and its logs."""

    id: Identity = Field(description="Name of the run in findings: letters, digits, dot, hyphen, underscore.")
    telemetry: Annotated[tuple[PathText, ...], Field(min_length=1)] = Field(
        description="Logs of this run: files, folders, globs, relative to this file; mlflow.db#RUN is one of several."
    )
    parameters: Amount | None = Field(default=None, description="Parameters of the model.")
    tokens_per_step: Amount | None = Field(default=None, description="Tokens of a batch.")
    schedule_end: Step | None = Field(default=None, description="The step at which the learning-rate schedule ends.")
    same_order_as: Identity | None = Field(
        default=None, description="A run that drew the same batches at the same steps; tested, not trusted."
    )


class Event(_InvestigationModel):
    """Something that people know of: it is named as an explanation of what happens near it."""

    step: Step
    what: Words = Field(description="What happened.")
    run: Identity | None = Field(default=None, description="The run it happened to; all by default.")


class Window(_InvestigationModel):
    """Steps that findings are limited to."""

    first: Step
    last: Step

    @model_validator(mode="after")
    def _in_order(self) -> Window:
        if self.last < self.first:
            raise ValueError("last is before first")
        return self


Column = Annotated[str, Field(min_length=1, max_length=200)]


class DrawnDocuments(_InvestigationModel):
    """The log of the sampler that drew a run's documents, one row a drawn document (or piece of one)."""

    log: PathText = Field(
        description="A file, a folder of files or a glob, relative to this file: .parquet, .jsonl, .gz, .zst."
    )
    step_offset: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = Field(
        default=0, description="Step of the run minus step of the log; tested where the log has losses."
    )
    run: Identity | None = Field(default=None, description="The run that trained on these draws; the first by default.")
    lag: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=5, description="Steps before a spike whose documents are looked at, beside those of the spike."
    )
    audit: PathText | None = Field(
        default=None,
        description="An audit's run directory, or its output folder, in whose table per_document the domains of ids "
        "are looked up; needed only if the log has no column of domains.",
    )
    step: Column = Field(default="step", description="Column of the training step, a whole number.")
    tokens: Column = Field(default="tokens", description="Column of the tokens drawn.")
    document: Column = Field(default="document", description="Column of the document's id, if there is one.")
    domain: Column = Field(default="domain", description="Column of the domain, if there is one.")
    loss: Column = Field(default="loss", description="Column of the document's loss in nats per token, if any.")


class InvestigationSpec(_InvestigationModel):
    """An investigation: training runs, what is known to have happened, and where to look."""

    version: Literal[1]
    name: Words = Field(description="A name for people.")
    runs: Annotated[tuple[TrainingRun, ...], Field(min_length=1)]
    drawn: DrawnDocuments | None = Field(default=None, description="The log of what the sampler of a run drew.")
    events: tuple[Event, ...] = ()
    windows: Literal["auto"] | tuple[Window, ...] = Field(
        default="auto", description="Steps that findings of spikes and shifts are limited to; auto is all of them."
    )
    output: PathText = Field(default="investigations", description="The folder that results are published into.")

    @model_validator(mode="after")
    def _runs_are_known(self) -> InvestigationSpec:
        names = [run.id for run in self.runs]
        if len(set(names)) != len(names):
            raise ValueError("two runs have the same id")
        for run in self.runs:
            if run.same_order_as is not None and (run.same_order_as not in names or run.same_order_as == run.id):
                raise ValueError(f"same_order_as of {run.id}: {run.same_order_as!r} is no other run")
        if self.drawn is not None and self.drawn.run is not None and self.drawn.run not in names:
            raise ValueError(f"drawn: no run is called {self.drawn.run!r}")
        for event in self.events:
            if event.run is not None and event.run not in names:
                raise ValueError(f"the event at step {event.step}: no run is called {event.run!r}")
        return self
