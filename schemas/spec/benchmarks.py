"""The ``benchmarks:`` part of an audit: test sets that the corpus should not hold, and how a hit is judged."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from corpus_audit.schemas.run.snapshot import ShardFormat
from corpus_audit.schemas.spec.local_paths import PathText

RuleName = Literal["gpt3", "palm", "llama2", "llama3", "tulu3", "decon_idf"]
"""Contamination rules; `pipelines.contamination.rules` holds their versions and parameters."""

ALL_RULES: tuple[RuleName, ...] = get_args(RuleName)

DECOYS = "(decoys)"
"""Name of the decoys among the benchmarks."""

Ratio = Annotated[float, Field(gt=0.0, le=1.0)]


class BenchmarkModel(BaseModel):
    """Base of the models below."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BenchmarkSpec(BenchmarkModel):
    """A test set: its files, and the fields of an item."""

    name: Annotated[str, Field(min_length=1, max_length=120)] = Field(description="Name of the benchmark in reports.")
    paths: Annotated[tuple[PathText, ...], Field(min_length=1)] = Field(
        description="JSONL (.gz, .zst), Parquet or Arrow files, folders or globs, relative to the audit file."
    )
    format: ShardFormat | Literal["auto"] = Field(default="auto", description="How files become rows.")
    prompt: str = Field(default="prompt", description="Column or dotted path of the item's text.")
    answer: str | None = Field(
        default=None, description="Column or dotted path of its answer; the two together are what is looked for."
    )
    id: str | None = Field(default=None, description="Column or dotted path of the item's id; file and row by default.")
    llama3_threshold: Ratio | None = Field(
        default=None, description="Ratio from which rule llama3 calls an item of this benchmark contaminated."
    )

    @model_validator(mode="after")
    def _name_is_free(self) -> BenchmarkSpec:
        if self.name == DECOYS:
            raise ValueError(f"benchmark name {DECOYS!r} is reserved: choose another")
        return self


class ContaminationOptions(BenchmarkModel):
    """The rules of the contamination scan, and the size of its self-check."""

    rules: Annotated[tuple[RuleName, ...], Field(min_length=1)] = Field(
        default=ALL_RULES, description="The rules that are evaluated; all of them by default."
    )
    boilerplate_limit: Annotated[int, Field(ge=1)] = Field(
        default=10,
        description="An n-gram that more documents of the corpus hold is boilerplate and no evidence (GPT-3: 10). "
        "Items that only boilerplate would make contaminated are reported apart.",
    )
    llama3_threshold: Ratio | None = Field(
        default=None,
        description="Ratio from which rule llama3 calls an item contaminated, unless its benchmark says otherwise. "
        "Llama 3 chose it by model scores; without one the ratio is reported and nothing is judged.",
    )
    canaries: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=200, description="Items that are planted verbatim in every run; all of them must be found."
    )
    decoys: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=500, description="Passages of the corpus itself that are looked for outside their own documents."
    )

    @model_validator(mode="after")
    def _rules_are_distinct(self) -> Self:
        if len(set(self.rules)) != len(self.rules):
            raise ValueError("a rule is listed twice")
        return self


class ContaminationSpec(ContaminationOptions):
    """The benchmarks to search for, and the options of the scan."""

    benchmarks: Annotated[tuple[BenchmarkSpec, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_distinct(self) -> ContaminationSpec:
        names = [benchmark.name for benchmark in self.benchmarks]
        if len(set(names)) != len(names):
            raise ValueError("two benchmarks have the same name")
        return self

    def threshold_of(self, benchmark: str) -> float | None:
        """The Llama 3 threshold of a benchmark."""
        own = next((b.llama3_threshold for b in self.benchmarks if b.name == benchmark), None)
        return self.llama3_threshold if own is None else own
