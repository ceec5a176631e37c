"""The ``embedding:`` part of an audit: which units of which model are indexed, and how.

Everything that changes a stored value is here, so that a digest of this section, the model's and the tokenizer's
identify what an index says (`EmbeddingSpec.scan_settings`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from corpus_audit.schemas.spec.local_paths import PathText
from corpus_audit.schemas.units import NAME, Kind, UnitError, parse_pattern

OTHER_DOMAINS = "(other domains)"
"""Name under which domains are counted that `EmbeddingSpec.domains` leaves out."""

MOST_DOMAINS = 64
"""Domains that an index keeps apart; with more, `EmbeddingSpec.domains` must name those that matter."""

UnitName = Annotated[str, Field(pattern=f"^{NAME}$", max_length=120)]
Examples = Annotated[int, Field(ge=0, le=1000)]


class EmbeddingModel(BaseModel):
    """Base of the models below."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SaeSpec(EmbeddingModel):
    """A sparse autoencoder in SAELens' format."""

    name: UnitName = Field(description="Its units are sae.NAME:0, sae.NAME:1, …")
    path: PathText = Field(description="Folder of cfg.json and sae_weights.safetensors, relative to the audit file.")
    ignore: tuple[str, ...] = Field(
        default=(), description="Unknown keys of cfg.json of which you know that they change no latent."
    )


class DirectionsSpec(EmbeddingModel):
    """Directions of the residual stream, such as probes: an activation is the dot product with a token's vector."""

    name: UnitName = Field(description="Its units are dir.NAME:0, dir.NAME:1, …")
    path: PathText = Field(description="A .npy or .safetensors file of [n, d] or [d], relative to the audit file.")
    block: Annotated[int, Field(ge=0)] = Field(description="The block after which the residual stream is read.")


class VectorsSpec(EmbeddingModel):
    """Vectors of windows, for search, embedding drift and semantic contamination."""

    block: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="The block whose output is taken; the last by default."
    )
    one_in: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Of how many windows one has vectors, chosen by hash: 3 kB a window at 384 dimensions."
    )
    projection: Annotated[int, Field(ge=0, le=20_000)] = Field(
        default=2000,
        description="Windows that the report of a run draws in two dimensions (t-SNE), chosen by hash; 0: none.",
    )


class EmbeddingSpec(EmbeddingModel):
    """A model, its units, and how the windows of the corpus are scanned for their strongest examples."""

    model: PathText = Field(
        description="A folder with config.json, safetensors and tokenizer.json (of an image model, "
        "preprocessor_config.json), a hub name, entry-point:NAME, or of an image model package.module:function."
    )
    units: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=("mlp.*:*",), description="Which units, by address or pattern: mlp.*:*, resid.5:*, head.1:7; conv.*:*."
    )
    saes: tuple[SaeSpec, ...] = Field(default=(), description="Sparse autoencoders whose latents are units too.")
    directions: tuple[DirectionsSpec, ...] = Field(default=(), description="Directions that are units too.")
    window: Annotated[int, Field(ge=4, le=65_536)] = Field(
        default=128, description="Tokens that the model sees at once, special tokens included."
    )
    overlap: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Tokens before a window's own that are shown to the model as context and not counted."
    )
    prepend_bos: bool | None = Field(
        default=None,
        description="Whether the model's beginning-of-text token stands in front of every window; null: as the "
        "tokenizer does it, and refused if an autoencoder was trained otherwise.",
    )
    k: Annotated[int, Field(ge=1, le=1000)] = Field(default=20, description="Top examples a unit.")
    domain_k: Examples = Field(default=5, description="Top examples a unit and domain.")
    minima: Examples = Field(default=5, description="Lowest examples a unit.")
    samples: Examples = Field(default=1, description="Examples a unit and bin of its range of activations.")
    domains: tuple[str, ...] = Field(
        default=(),
        description=f"Domains kept apart, the rest together; all, at most {MOST_DOMAINS}, by default.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the model runs.")
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="Of the scan's matrix products. With bfloat16, for GPUs, examples are computed again in float32 "
        "from twice as many candidates; sums, histograms and vectors stay those of bfloat16.",
    )
    batch_tokens: Annotated[int, Field(ge=64)] = Field(
        default=2048,
        description="Tokens of a batch, about; halved when CUDA runs out of memory. GPUs want more: 65536.",
    )
    batch_images: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=16, description="Images of a batch, of an image model; all batches have the same shape."
    )
    heatmaps: bool = Field(
        default=False,
        description="Store every token's activation in the windows of top examples: one more pass, and most of the "
        "index's bytes. Without it, lookup computes those that it shows, and keeps them.",
    )
    vectors: VectorsSpec | None = Field(
        default=VectorsSpec(), description="Vectors of windows, for search; null: none."
    )
    baseline: PathText | None = Field(
        default=None, description="An index of an earlier snapshot, or a folder of them, to measure drift from."
    )
    output: PathText = Field(default="index", description="Folder of the indexes, relative to the audit file.")

    @model_validator(mode="after")
    def _names_are_distinct(self) -> EmbeddingSpec:
        for kind, specs in (("sparse autoencoders", self.saes), ("directions", self.directions)):
            names = [each.name for each in specs]
            if len(set(names)) != len(names):
                raise ValueError(f"two {kind} have the same name")
        if len(set(self.domains)) != len(self.domains):
            raise ValueError("a domain is listed twice")
        if len(self.domains) > MOST_DOMAINS:
            raise ValueError(f"more than {MOST_DOMAINS} domains")
        return self

    @model_validator(mode="after")
    def _units_are_patterns(self) -> EmbeddingSpec:
        for text in self.units:
            try:
                parse_pattern(text)
            except UnitError as error:
                raise ValueError(str(error)) from None
        return self

    @model_validator(mode="after")
    def _windows_advance(self) -> EmbeddingSpec:
        if self.overlap > self.window // 2:
            raise ValueError("overlap: more than half of the window would be computed only as context")
        return self

    @property
    def may_be_of_images(self) -> bool:
        """Whether all units are of kinds that image models have: convolutions, logits, and those of blocks."""
        kinds = (f"{Kind.CONV}.", f"{Kind.LOGIT}:", *(f"{kind}." for kind in (Kind.MLP, Kind.RESID, Kind.HEAD)))
        return all(text.startswith(kinds) for text in self.units)

    def scan_settings(self) -> dict[str, Any]:
        """The settings that determine a split's partial, besides the model, the tokenizer and the documents."""
        names = ("units", "window", "overlap", "k", "domain_k", "minima", "samples", "domains", "dtype")
        settings = self.model_dump(mode="json", include=set(names))
        vectors = self.vectors
        return settings | {"vectors": None if vectors is None else [vectors.block, vectors.one_in]}
