"""The ``sampling:`` part of an audit: a token budget, strategies to compare, and the log of what a sampler drew.

A strategy is ``proportional`` or a mapping with one of the keys ``temperature``, ``unimax``, ``weights`` and ``dsir``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from corpus_audit.schemas.spec.local_paths import PathText


class _SamplingModel(BaseModel):
    """Base of every part, as strict as the rest of the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Tokens = Annotated[float, Field(ge=1.0, le=1e18, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=60)]

_NAME = Field(default=None, description="Name of the strategy in tables; made from its parameters by default.")


class TemperatureParameters(_SamplingModel):
    """Shares proportional to (unique tokens)^alpha."""

    alpha: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        description="The exponent, 1 / T: 1 is proportional, 0 gives every domain the same share."
    )


class UnimaxParameters(_SamplingModel):
    """As even as possible without drawing a domain more than ``epoch_cap`` times."""

    epoch_cap: Annotated[float, Field(gt=0.0, le=1e6)] = Field(description="Most passes over a domain's unique text.")


class DsirParameters(_SamplingModel):
    """Documents that look like a target's are drawn more often (importance resampling on hashed n-grams)."""

    target: PathText = Field(description="A finished run directory of the corpus to resemble, relative to this file.")
    epochs: Annotated[float, Field(ge=1.0, le=1e6)] = Field(
        default=1.0, description="Passes over the selected documents: budget / epochs unique tokens are selected."
    )


class TemperatureStrategy(_SamplingModel):
    """Temperature sampling."""

    temperature: TemperatureParameters
    name: Name | None = _NAME


class UnimaxStrategy(_SamplingModel):
    """UniMax."""

    unimax: UnimaxParameters
    name: Name | None = _NAME


class WeightsStrategy(_SamplingModel):
    """Explicit weights."""

    weights: Annotated[dict[str, Annotated[float, Field(ge=0.0, allow_inf_nan=False)]], Field(min_length=1)] = Field(
        description="Weight of every domain that is drawn; they are normalised to add up to 1."
    )
    unit: Literal["tokens", "documents"] = Field(
        default="tokens", description="What a weight is a share of: training tokens, or documents drawn."
    )
    name: Name | None = _NAME

    @model_validator(mode="after")
    def _positive_total(self) -> WeightsStrategy:
        if sum(self.weights.values()) <= 0:
            raise ValueError("the weights add up to nothing")
        return self


class DsirStrategy(_SamplingModel):
    """Data selection by importance resampling."""

    dsir: DsirParameters
    name: Name | None = _NAME


_KINDS = ("temperature", "unimax", "weights", "dsir")


def _form(value: object) -> str | None:
    """The form of a strategy that a value has, so that errors refer to this form only."""
    if isinstance(value, str):
        return "a word"
    keys = value if isinstance(value, dict) else vars(value) if isinstance(value, _SamplingModel) else ()
    return next((f"by {kind}" for kind in _KINDS if kind in keys), None)


Strategy = Annotated[
    Annotated[Literal["proportional"], Tag("a word")]
    | Annotated[TemperatureStrategy, Tag("by temperature")]
    | Annotated[UnimaxStrategy, Tag("by unimax")]
    | Annotated[WeightsStrategy, Tag("by weights")]
    | Annotated[DsirStrategy, Tag("by dsir")],
    Discriminator(_form),
    Field(
        description="proportional, {temperature: {alpha:}}, {unimax: {epoch_cap:}}, {weights:, unit:} or {dsir: {}}."
    ),
]


def strategy_name(strategy: Strategy) -> str:
    """Name of a strategy in tables: its own, or one made from its parameters."""
    if isinstance(strategy, str):
        return strategy
    if strategy.name is not None:
        return strategy.name
    if isinstance(strategy, TemperatureStrategy):
        return f"temperature {strategy.temperature.alpha:g}"
    if isinstance(strategy, UnimaxStrategy):
        return f"unimax {strategy.unimax.epoch_cap:g}"
    if isinstance(strategy, WeightsStrategy):
        return f"weights by {strategy.unit}"
    return "dsir"


class SamplerLogSpec(_SamplingModel):
    """The log of a sampler: one row a drawn document (or piece of one), in Parquet or JSON lines."""

    path: PathText = Field(
        description="A file, a folder of files or a glob, relative to this file: .parquet, .jsonl, .gz, .zst."
    )
    strategy: str | None = Field(
        default=None, description="Name of the strategy that was intended; the only or first one by default."
    )
    windows: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="Windows of equally many steps in which the mixture is compared."
    )
    step: str = Field(default="step", description="Column of the training step, a whole number.")
    tokens: str = Field(default="tokens", description="Column of the tokens drawn.")
    document: str = Field(default="document", description="Column of the document's id, if there is one.")
    domain: str = Field(default="domain", description="Column of the domain; else ids are looked up in per_document.")
    loss: str = Field(default="loss", description="Column of the loss, if there is one.")


class SamplingSpec(_SamplingModel):
    """The sampling strategies to compare, and the log of a sampler to audit."""

    budget: Tokens = Field(description="Training tokens.")
    parameters: Tokens | None = Field(default=None, description="Parameters of the model to train.")
    strategies: tuple[Strategy, ...] = Field(default=("proportional",), description="Strategies to compare.")
    log: SamplerLogSpec | None = Field(default=None, description="A sampler's log to audit.")

    @model_validator(mode="after")
    def _names_are_distinct_and_known(self) -> SamplingSpec:
        names = [strategy_name(strategy) for strategy in self.strategies]
        if not names:
            raise ValueError("there is no strategy to compare")
        if len(set(names)) != len(names):
            raise ValueError("two strategies have the same name: give them a name each")
        if self.log is not None and self.log.strategy is not None and self.log.strategy not in names:
            raise ValueError(
                f"log.strategy: no strategy is called {self.log.strategy!r} (there are {', '.join(names)})"
            )
        return self
