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


class StepEvaluation(_InvestigationModel):
    """Evaluation results of a checkpoint of a run."""

    run: Identity = Field(description="The run that the checkpoint is of; without runs, any name of the model.")
    step: Step = Field(default=0, description="The step of the checkpoint; not needed for models without steps.")
    paths: Annotated[tuple[PathText, ...], Field(min_length=1)] = Field(
        description="Evaluation results: files, folders, globs, relative to this file."
    )
    model: Words | None = Field(default=None, description="The model whose results count, if there are several.")


class Contamination(_InvestigationModel):
    """Which items of benchmarks the training data hold: a list of them, or an audit that looked for them."""

    list: PathText | None = Field(
        default=None, description="Parquet, CSV or JSON lines, such as an audit's contamination_items.parquet."
    )
    audit: PathText | None = Field(
        default=None,
        description="An audit's run directory, or its output folder, that looked for these benchmarks in the corpus.",
    )
    rule: Words | None = Field(
        default=None, description="The rule that decides, such as llama2; needed if there are several."
    )
    benchmarks: dict[str, Words] = Field(
        default={}, description="By task of the evaluations, the audit's name of its benchmark, where they differ."
    )
    id: Words | None = Field(
        default=None,
        description="The field of an evaluation's item that has the id by which the list or the audit calls it, such "
        "as question_id; by default the hash of its document, and the id in the file of the evaluation.",
    )
    numbers: bool = Field(
        default=False,
        description="With audit: whether numbers by which evaluations call items are the ids of the audit's items. "
        "Positions in a file are not.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Contamination:
        if (self.list is None) == (self.audit is None):
            raise ValueError("name a list or an audit, one of the two")
        if self.audit is None and (self.benchmarks or self.numbers):
            raise ValueError("benchmarks and numbers go with audit")
        return self


class Safety(_InvestigationModel):
    """Which scores count as a refusal or as harm, where the name of a metric does not say so."""

    refusal: tuple[Words, ...] = Field(
        default=(), description="METRIC=VALUE or TASK:METRIC<=VALUE, with one of = < > <= >=: counts as a refusal."
    )
    harm: tuple[Words, ...] = Field(default=(), description="The same for harmful answers.")


class Scaling(_InvestigationModel):
    """Runs that a scaling law is fitted to, and the one that is held against it."""

    runs: PathText = Field(description="CSV with the columns run, parameters, tokens, loss (nats a token).")
    holdout: Words = Field(description="The run of that file that is left out of the fit and asked about.")
    audit: PathText | None = Field(
        default=None,
        description="An audit of the corpus that the holdout is trained on: its run directory, or its output folder. "
        "Its unique tokens say how often the tokens of the compute-optimal point would be repeated.",
    )


class Routing(_InvestigationModel):
    """How a mixture of experts routes its tokens: series of a run's telemetry, and an activation index."""

    series: Words | None = Field(
        default=None, description='Tags of loads by layer and expert, or of measures by layer: a glob, such as "moe/*".'
    )
    run: Identity | None = Field(default=None, description="The run with these series; the first by default.")
    index: PathText | None = Field(
        default=None, description="An activation index with units of the kind expert, or an audit's output folder."
    )

    @model_validator(mode="after")
    def _something(self) -> Routing:
        if self.series is None and self.index is None:
            raise ValueError("name series, an index or both")
        return self


class Units(_InvestigationModel):
    """Units of a model as an activation index has them, and an earlier index that they are compared with."""

    index: PathText = Field(description="An activation index, or a folder of indexes, whose newest counts.")
    before: PathText | None = Field(
        default=None,
        description="An index of an earlier snapshot with the same model, or of an earlier checkpoint of it.",
    )
    select: Words | None = Field(default=None, description="Units, such as mlp.3:* or sae.NAME:*; all by default.")


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


class DrawnTexts(_InvestigationModel):
    """Files with the texts of the documents that were drawn."""

    paths: Annotated[tuple[PathText, ...], Field(min_length=1)] = Field(
        description="Files, folders of files or globs, relative to this file: .parquet, .jsonl, .gz, .zst."
    )
    id: Column = Field(default="id", description="Column of the document's id, as the sampler's log has it.")
    text: Column = Field(default="text", description="Column of the text.")


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
    texts: DrawnTexts | None = Field(
        default=None,
        description="Texts of the documents: `investigate documents` looks for near-duplicates and repeated n-grams.",
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
    runs: tuple[TrainingRun, ...] = Field(
        default=(), description="Training runs; none if only evaluations are compared."
    )
    drawn: DrawnDocuments | None = Field(default=None, description="The log of what the sampler of a run drew.")
    evals: Annotated[tuple[StepEvaluation, ...], Field(max_length=200)] = Field(
        default=(),
        description="Evaluations: consecutive steps of a run are compared, and the last steps of every two runs.",
    )
    primary: tuple[Words, ...] = Field(
        default=(), description="Tasks, or TASK:METRIC, that matter most: their p are adjusted by Holm's method."
    )
    cluster: Words | dict[str, Words] | None = Field(
        default=None,
        description="The field of an item that says which items belong together; or such a field for each task.",
    )
    contamination: Contamination | None = Field(
        default=None,
        description="Items that the training data hold: differences are split between them and clean ones.",
    )
    safety: Safety | None = Field(
        default=None, description="Which scores count as a refusal or as harm, besides metrics whose name says so."
    )
    seeds: tuple[Identity, ...] = Field(
        default=(),
        description="Three or more runs that differ in their seed only: their evaluations at one step tell its noise.",
    )
    scaling: Scaling | None = Field(default=None, description="A scaling law of a team's runs: is one of them off it?")
    routing: Routing | None = Field(default=None, description="How a mixture of experts routes its tokens.")
    units: Units | None = Field(default=None, description="Units of an activation index: moved, drawn, dead.")
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
        for key in ("drawn", "events"):
            if getattr(self, key) and not names:
                raise ValueError(f"{key} needs runs")
        if self.drawn is not None and self.drawn.run is not None and self.drawn.run not in names:
            raise ValueError(f"drawn: no run is called {self.drawn.run!r}")
        if self.routing is not None and self.routing.run is not None and self.routing.run not in names:
            raise ValueError(f"routing: no run is called {self.routing.run!r}")
        for event in self.events:
            if event.run is not None and event.run not in names:
                raise ValueError(f"the event at step {event.step}: no run is called {event.run!r}")
        return self

    @model_validator(mode="after")
    def _evaluations_can_be_compared(self) -> InvestigationSpec:
        names = {run.id for run in self.runs} or {each.run for each in self.evals}
        if not names:
            raise ValueError("runs or evals: an investigation needs one of them")
        steps = [(each.run, each.step) for each in self.evals]
        for run, step in steps:
            if run not in names:
                raise ValueError(f"the evaluation at step {step}: no run is called {run!r}")
            if steps.count((run, step)) > 1:
                raise ValueError(f"evals has step {step} of {run} twice: list its paths together")
        if len(steps) == 1:
            raise ValueError("evals has one evaluation, and there is none to compare it with: add a step or a run")
        if self.seeds and len(set(self.seeds)) < max(3, len(self.seeds)):
            raise ValueError("seeds: name three or more different runs")
        for run in self.seeds:
            if run not in {each.run for each in self.evals}:
                raise ValueError(f"seeds: {run!r} has no evaluation")
        for key in ("primary", "cluster", "contamination", "safety"):
            if getattr(self, key) and not steps:
                raise ValueError(f"{key} needs evals")
        return self
