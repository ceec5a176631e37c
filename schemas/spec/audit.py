"""The audit spec: what ``audit.yaml`` may say. Strict, frozen, every unknown key an error.

`load_audit` in `schemas.spec.audit_file` reads the YAML and reports mistakes with file, line and column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from corpus_audit.schemas.run.snapshot import ShardFormat
from corpus_audit.schemas.spec.benchmarks import BenchmarkSpec, ContaminationOptions, ContaminationSpec
from corpus_audit.schemas.spec.embedding import EmbeddingSpec
from corpus_audit.schemas.spec.local_paths import PathText
from corpus_audit.schemas.spec.notify import NotifySpec
from corpus_audit.schemas.spec.sampling import SamplingSpec

PROTOCOLS = ("file", "s3", "gs", "gcs", "az", "abfs", "hdfs", "hf")
"""File systems a spec may name; everything else (http, chained ``::``, zip, reference) is refused."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class AuditModel(BaseModel):
    """Base of every part of the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SnapshotSpec(AuditModel):
    """The files of the snapshot."""

    paths: Annotated[tuple[PathText, ...], Field(min_length=1)] = Field(
        description="Files, folders or globs (**, *, ?), relative to this file; s3://, gs://, … with the extra. "
        "{date} is today in UTC and {latest} the newest date there."
    )
    format: ShardFormat | Literal["auto"] = Field(
        default="auto", description="Format of the shards; auto: by the ending of each name."
    )
    ignore: tuple[PathText, ...] = Field(
        default=(),
        description="Globs of files below the paths that are not read; without it a file that may be data and is not "
        "read means that there is no verdict. A name matches at any depth; a path with / from this file.",
    )
    manifest: PathText | None = Field(
        default=None, description="A sha256sum file of the shards: a shard that differs, or is missing, is an error."
    )


class ColumnSource(AuditModel):
    """A column or a dotted path into nested fields."""

    column: str


class UrlHostSource(AuditModel):
    """The host name of a URL column, lower-cased, without port and a leading ``www.``."""

    url_host: str


class PathSource(AuditModel):
    """A value cut out of the shard's path by a pattern such as ``data/{domain}/*.parquet``."""

    path: str


class ConstantSource(AuditModel):
    """The same value for every document."""

    constant: str


FacetSource = Annotated[
    str | ColumnSource | UrlHostSource | PathSource | ConstantSource,
    Field(description="A column name, or one of {column:}, {url_host:}, {path:}, {constant:}."),
]


class DocumentSpec(AuditModel):
    """Fields of a row that make up a document."""

    text: str | None = Field(
        default=None,
        description="Column or dotted path of the text; text by default. Beside image, of the caption; without it, "
        "there are none.",
    )
    image: str | None = Field(
        default=None,
        description="Column of the images of an image corpus: bytes, or a {bytes, path} struct. In tar archives and "
        "folders: image, or the ending of one member, such as jpg.",
    )
    id: str | None = Field(default=None, description="Column or dotted path of the document's id.")
    domain: FacetSource = Field(
        default=ConstantSource(constant="all"), description="The primary facet: the category whose proportions matter."
    )
    facets: dict[str, FacetSource] = Field(default_factory=dict, description="Further facets, by name.")
    cluster: FacetSource | None = Field(
        default=None, description="The sampling unit for variances, such as the host; the document itself by default."
    )

    @model_validator(mode="before")
    @classmethod
    def _text_is_the_default(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("text") is None and values.get("image") is None:
            return {**values, "text": "text"}
        return values

    @model_validator(mode="after")
    def _no_facet_is_called_domain(self) -> DocumentSpec:
        for name in self.facets:
            if name == "domain" or not name.isidentifier():
                raise ValueError(f"facet name {name!r}: use an identifier other than 'domain'")
        return self


Scalar = str | int | float | bool


class FilterClause(AuditModel):
    """One typed condition on a column; rows for which it does not hold are dropped and counted under its name."""

    name: str = Field(description="The reason under which dropped rows are counted.")
    column: str = Field(description="Column or dotted path.")
    op: Literal["==", "!=", "<", "<=", ">", ">=", "in", "not_in", "matches", "is_null", "not_null"] = Field(
        description="The condition under which a row is kept."
    )
    value: Scalar | tuple[Scalar, ...] | None = Field(
        default=None, description="The value to compare with; a list for in and not_in; an RE2 pattern for matches."
    )

    @model_validator(mode="after")
    def _value_fits_op(self) -> FilterClause:
        if self.op in ("is_null", "not_null"):
            if self.value is not None:
                raise ValueError(f"op {self.op!r} takes no value")
        elif self.op in ("in", "not_in"):
            if not isinstance(self.value, tuple) or not self.value:
                raise ValueError(f"op {self.op!r} needs a list of values")
        elif self.value is None or isinstance(self.value, tuple):
            raise ValueError(f"op {self.op!r} needs one value")
        elif self.op == "matches" and not isinstance(self.value, str):
            raise ValueError("op 'matches' needs a pattern (RE2 syntax)")
        return self


class SampleSpec(AuditModel):
    """Read only a share of the splits, selected by hash; tables then say so and intervals have two stages."""

    share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(description="Share of the splits to read.")
    seed: int = Field(default=0, description="Seed of the selection.")


class MixtureSpec(AuditModel):
    """The intended mixture of the primary facet."""

    unit: Literal["documents", "bytes", "tokens"] = Field(
        default="tokens", description="What the weights are shares of."
    )
    weights: Annotated[dict[str, Annotated[float, Field(ge=0.0, allow_inf_nan=False)]], Field(min_length=1)] = Field(
        description="Weight of every domain; they are normalised to add up to 1."
    )

    @model_validator(mode="after")
    def _positive_total(self) -> MixtureSpec:
        if sum(self.weights.values()) <= 0:
            raise ValueError("the weights add up to nothing")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """The weights, normalised to add up to 1."""
        total = sum(self.weights.values())
        return {name: weight / total for name, weight in self.weights.items()}


class BaselineSpec(AuditModel):
    """A finished run to compare the current snapshot with."""

    run: PathText = Field(
        description="A run directory, or an output folder, whose newest run is meant; relative to this file."
    )
    label: Annotated[str, Field(min_length=1, max_length=40)] = Field(
        default="baseline", description="Name in tables and reports."
    )
    passed: bool = Field(
        default=False,
        description="Of an output folder, the newest run whose verdict is pass or warn, instead of the newest one.",
    )


class LimitsSpec(AuditModel):
    """Limits that protect the machine from hostile or broken input, and bound the rows that may be lost."""

    document_bytes: Annotated[int, Field(ge=1)] = Field(
        default=64 * 2**20, description="A longer text or JSON line is a dead letter (too_large)."
    )
    dead_letter_share: Share = Field(
        default=0.0001, description="More dead letters than this share of rows, or of their bytes: no verdict."
    )
    expansion: Annotated[int, Field(ge=2)] = Field(
        default=200,
        description="A shard that decodes to more than 64 MiB and this many times its size is an error (a bomb).",
    )
    dead_letter_excerpts: bool = Field(
        default=False, description="Write the first 200 bytes of bad rows into dead_letters."
    )
    shard_dead_letter_share: Share = Field(
        default=0.1,
        description="More dead letters than this share of one shard's rows or bytes (and than dead_letter_share): no "
        "verdict.",
    )


class ImageBenchmarkSpec(AuditModel):
    """A test set of images, of which the corpus should hold no copies."""

    name: Annotated[str, Field(min_length=1, max_length=120)] = Field(description="Name of the benchmark in reports.")
    path: PathText = Field(description="Folder of the images, with the folders in it, relative to the audit file.")


class ImagesSpec(AuditModel):
    """Limits of the images of an image corpus, beyond which an image is a dead letter; benchmarks of images."""

    max_pixels: Annotated[int, Field(ge=1)] = Field(
        default=100_000_000, description="Pixels of an image; more are not decoded (too_many_pixels)."
    )
    max_bytes: Annotated[int, Field(ge=1)] = Field(
        default=64 * 2**20, description="Bytes of an image's file; more are not decoded (image_too_large)."
    )
    max_frames: Annotated[int, Field(ge=1)] = Field(
        default=1000, description="Frames of an animated image; more are not decoded (too_many_frames)."
    )
    benchmarks: tuple[ImageBenchmarkSpec, ...] = Field(
        default=(), description="Test sets of images that are looked for: exact copies, and near duplicates."
    )

    @model_validator(mode="after")
    def _names_are_distinct(self) -> ImagesSpec:
        names = [benchmark.name for benchmark in self.benchmarks]
        if len(set(names)) < len(names):
            raise ValueError("two image benchmarks have the same name")
        return self


class TokenizerSpec(AuditModel):
    """The tokenizer, and which package counts with it."""

    path: PathText = Field(description="Path of a tokenizer.json, or a hub name (needs the hub extra).")
    engine: Literal["auto", "fast", "reference"] = Field(
        default="auto",
        description="auto: gigatoken where it gives the ids of tokenizers, else tokenizers; fast: gigatoken, or "
        "an error; reference: tokenizers, about fifty times slower.",
    )


class AuditSpec(AuditModel):
    """An audit: the snapshot, how to read it, the intended mixture, and where results are written."""

    version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=120)] = Field(description="Name of the corpus in reports.")
    snapshot: SnapshotSpec
    document: DocumentSpec = DocumentSpec()
    tokenizer: PathText | TokenizerSpec | None = Field(
        default=None,
        description="Path of a tokenizer.json, or a hub name (needs the hub extra); or {path:, engine:}. Images "
        "without captions need none.",
    )
    images: ImagesSpec | None = Field(default=None, description="Limits of images; needs document.image.")
    mixture: MixtureSpec | None = None
    baseline: BaselineSpec | Annotated[tuple[BaselineSpec, ...], Field(max_length=2)] = Field(
        default=(), description="One or two runs to compare with, such as a pinned reference and the last good run."
    )
    filter: tuple[FilterClause, ...] = ()
    sample: SampleSpec | None = None
    sampling: SamplingSpec | None = Field(
        default=None, description="Sampling strategies to compare for a budget of training tokens."
    )
    benchmarks: tuple[BenchmarkSpec, ...] = Field(default=(), description="Test sets that the corpus should not hold.")
    contamination: ContaminationOptions = Field(
        default=ContaminationOptions(), description="How the corpus is searched for benchmarks."
    )
    embedding: EmbeddingSpec | None = Field(
        default=None, description="Units of a model whose examples are looked up in the corpus (corpus-audit index)."
    )
    investigation: PathText | None = Field(
        default=None,
        description="A published investigation of training runs (corpus-audit investigate), or the folder of several, "
        "whose newest is used: its findings are figures of the run, to be judged and signed with it.",
    )
    limits: LimitsSpec = LimitsSpec()
    excerpts: bool = Field(
        default=True,
        description="Keep a short excerpt, and up to 1,000 whole documents a domain, in the profile; of images, "
        "thumbnails, and crops of units in an index. Hashes, and the mean colours of 8 x 8 fields of images, are kept "
        "without it too.",
    )
    per_document: bool = Field(default=False, description="Also write a table of every document's counts.")
    policy: PathText | None = Field(
        default=None,
        description="The policy.yaml that judges the run, relative to this file; without one there is no verdict.",
    )
    notify: tuple[NotifySpec, ...] = Field(default=(), description="Who is notified of the result of a run, and how.")
    output: PathText = Field(default="runs", description="Folder of the run directories, relative to this file.")
    store: PathText | None = Field(
        default=None, description="Profile store; <output>/.store by default. May be shared."
    )
    remote: str | None = Field(
        default=None, description="URL of an object store where partials and runs are kept too: s3://bucket/folder."
    )

    @property
    def tokenizer_path(self) -> str | None:
        """The path or hub name of the tokenizer; None for images without captions, which have no text."""
        return self.tokenizer.path if isinstance(self.tokenizer, TokenizerSpec) else self.tokenizer

    @property
    def tokenizer_engine(self) -> Literal["auto", "fast", "reference"]:
        """Which package counts."""
        return self.tokenizer.engine if isinstance(self.tokenizer, TokenizerSpec) else "auto"

    @property
    def has_text(self) -> bool:
        """Whether documents have a text: false for images without captions."""
        return self.document.text is not None

    @property
    def has_images(self) -> bool:
        """Whether documents are images."""
        return self.document.image is not None

    @property
    def image_limits(self) -> ImagesSpec:
        """The limits of images."""
        return self.images or ImagesSpec()

    @classmethod
    def required_here(cls, items: Mapping[str, Any]) -> tuple[str, ...]:
        """Keys without a default that these keys of an audit file need; values with keys have ``items`` themselves."""
        document = getattr(items.get("document"), "items", {})
        return () if "image" in document and "text" not in document else ("tokenizer",)

    @property
    def baselines(self) -> tuple[BaselineSpec, ...]:
        """The baselines, at most two."""
        return (self.baseline,) if isinstance(self.baseline, BaselineSpec) else self.baseline

    @property
    def contamination_spec(self) -> ContaminationSpec | None:
        """The benchmarks and the options of the scan; None without benchmarks."""
        if not self.benchmarks:
            return None
        return ContaminationSpec(benchmarks=self.benchmarks, **dict(self.contamination))

    @model_validator(mode="after")
    def _sections_fit_the_documents(self) -> AuditSpec:
        if self.images is not None and self.document.image is None:
            raise ValueError("images: sets limits for images, but document.image names no column of images")
        if self.document.image is None and self.snapshot.format != "auto" and self.snapshot.format.is_archive:
            raise ValueError(f"snapshot.format: {self.snapshot.format} holds images: name them in document.image")
        if self.has_text:
            if self.tokenizer is None:
                raise ValueError("missing key 'tokenizer': only images without captions need none")
            return self
        if self.tokenizer is not None:
            raise ValueError("tokenizer: these images have no captions to count; set document.text, or remove it")
        without = "images without captions have no tokens: set document.text to the column of the captions, or"
        if self.mixture is not None and self.mixture.unit != "documents":
            raise ValueError(f"mixture.unit: {without} set the unit to documents")
        for name in ("sampling", "benchmarks"):
            if getattr(self, name):
                raise ValueError(f"{name}: {without} remove the section")
        if self.embedding is not None and not self.embedding.may_be_of_images:
            raise ValueError(f"embedding: {without} index an image model's units, such as conv.*:*")
        return self

    @model_validator(mode="after")
    def _benchmark_names_are_distinct(self) -> AuditSpec:
        names = [benchmark.name for benchmark in self.benchmarks]
        if len(set(names)) != len(names):
            raise ValueError("two benchmarks have the same name")
        return self

    @model_validator(mode="after")
    def _baselines_are_distinct_and_unsampled(self) -> AuditSpec:
        labels = [baseline.label for baseline in self.baselines]
        if len(set(labels)) != len(labels):
            raise ValueError("the two baselines have the same label: give each its own")
        if labels and self.sample is not None:
            raise ValueError("a sampled audit cannot be compared with a baseline: leave out `sample` or `baseline`")
        return self

    @model_validator(mode="after")
    def _clause_names_are_distinct(self) -> AuditSpec:
        names = [clause.name for clause in self.filter]
        if len(set(names)) != len(names):
            raise ValueError("two filter clauses have the same name")
        return self
