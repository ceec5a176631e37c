"""`run.json`: what a run audited, how much of it was read, with which tokenizer and versions, and the digest of every
file that it published; strict and versioned.

Every writer builds these records and every reader gets them, so that a key is spelled in one place. Fields with a
default are those that runs of earlier versions lack. A record remembers which of its fields were set: a key that is
absent in a file stays absent when the record is written again (`RunFile.to_json`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.results import Record

RUN_FILE = "run.json"

Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 in hex.")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class RunSnapshot(Record):
    """The snapshot that was audited."""

    digest: Sha256 = Field(description="SHA-256 of the manifest of the shards that could be hashed, in hex.")
    shards: Count = Field(description="Shards, those that could not be read included.")
    bytes: Count = Field(description="Bytes of the shards as they lie on disk.")


class RunCoverage(Record):
    """How much was read; counts are of the whole run."""

    shards: Count = Field(description="Shards of the snapshot: the sum of the next four.")
    shards_read: Count = Field(description="Shards of which this run read at least a part.")
    shards_cached: Count = Field(description="Shards whose partials were all in the store already.")
    shards_error: Count = Field(description="Shards that could not be read.")
    shards_not_sampled: Count = Field(description="Shards none of whose splits are in the sample.")
    splits: Count = Field(description="Splits of all shards.")
    splits_counted: Count = Field(description="Splits whose rows are in the tables.")
    rows: Count = Field(description="Rows of the counted splits: documents, dead letters and filtered rows.")
    documents: Count = Field(description="Rows that were counted.")
    dead_letters: Count = Field(description="Rows that could not be counted.")
    filtered: Count = Field(description="Rows that a filter dropped.")
    sample_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        description="Share of the splits that was to be read; 1 without `sample:`."
    )
    conserved: bool = Field(description="Whether readers, footers and measures agree on the number of rows.")
    manifest: bool = Field(description="Whether the shards were compared with a manifest that the audit names.")
    digests_computed: Count = Field(description="Shards that this run hashed.")
    digests_remembered: Count = Field(description="Shards whose digest was known from an earlier run.")
    duplicate_shards: Count = Field(description="Shards with the bytes of another one.")
    # Runs before loss was bounded by bytes lack these two: 0 then.
    row_bytes: Count = Field(default=0, description="Bytes of the rows as they stand in their shards.")
    dead_letter_bytes: Count = Field(default=0, description="Bytes of the dead letters among them.")

    @property
    def shards_used(self) -> int:
        """Shards whose documents are in the tables, read now or counted in an earlier run."""
        return self.shards_read + self.shards_cached

    @property
    def sampled(self) -> bool:
        """Whether only a share of the splits was to be read."""
        return self.sample_share < 1.0


class UnreadFiles(Record):
    """Files that were seen among the shards and not read, for one reason."""

    files: Count = Field(description="Number of the files.")
    bytes: Count = Field(description="Bytes of the files whose size is known.")
    may_be_data: bool = Field(description="Whether documents may be missing because of them.")
    endings: dict[str, Count] = Field(description="Files by the ending of their name.")
    names: tuple[str, ...] = Field(description="The first names; the table unread_files has all.")


class FileListing(Record):
    """The files that were seen in the paths of the snapshot."""

    seen: Count = Field(description="Files.")
    read: Count = Field(description="Those that are shards.")
    unread: dict[str, UnreadFiles] = Field(description="The others, by `UnreadReason`.")


class IntegrityRule(Record):
    """An integrity rule, which is always on, and whether it holds."""

    check: str = Field(description="Id of the rule: one of `INTEGRITY_RULES`.")
    status: Literal["pass", "fail"] = Field(description="Whether it holds.")
    detail: str = Field(description="What was seen, or what is wrong; for people.")

    @classmethod
    def of(cls, check: str, holds: bool, wrong: str, seen: str) -> IntegrityRule:
        """A rule that was evaluated: ``wrong`` is its detail if it does not hold, ``seen`` if it does."""
        return cls(check=check, status="pass" if holds else "fail", detail=seen if holds else wrong)

    @property
    def holds(self) -> bool:
        """Whether it holds."""
        return self.status == "pass"


class RunTokenizer(Record):
    """The tokenizer, the path that counted, and how much of it was compared with the reference."""

    name: str = Field(description="Path or hub name in the audit file.")
    sha256: Sha256 = Field(description="SHA-256 of the tokenizer file, in hex.")
    vocabulary: Count = Field(description="Token ids: one more than the largest.")
    # Runs before `tokenizer: {path:, engine:}` lack it: "auto" then.
    engine: Literal["auto", "fast", "reference"] = Field(default="auto", description="What the audit file asks for.")
    path: str = Field(description="Package that counted: `gigatoken` or `tokenizers`, the reference.")
    path_version: str = Field(description="Version of that package.")
    path_reason: str = Field(description="Why the reference counted; empty otherwise.")
    switched_off: tuple[str, ...] = Field(description="Settings of the file that were removed, such as truncation.")
    verified: Count = Field(description="Documents that the reference encoded a second time.")
    verified_needed: Count = Field(description="Documents that had to be verified.")


class RunFacets(Record):
    """The facets by which figures are cut."""

    primary: str = Field(description="Name of the facet whose proportions matter: `domain`.")
    names: tuple[str, ...] = Field(description="Every facet, the primary one first.")
    sources: dict[str, str] = Field(description="Where each facet comes from, for people.")


class IntendedMixture(Record):
    """The mixture that is intended for the primary facet."""

    unit: Literal["documents", "bytes", "tokens"] = Field(description="What the shares are shares of.")
    shares: dict[str, Share] = Field(description="Share of each domain; they add up to 1.")


class RunFilter(Record):
    """A condition that rows had to meet."""

    name: str = Field(description="The reason under which dropped rows are counted.")
    clause: str = Field(description="The condition, for people.")


class RunBaseline(Record):
    """A run that this one was compared with."""

    label: str = Field(description="Its label in the audit file and the tables.")
    run: str = Field(description="Name of its run directory.")
    name: str = Field(description="Name of its audit.")
    snapshot: Sha256 = Field(description="Digest of its snapshot.")
    documents: Sha256 = Field(description="Digest of its documents and shards (`documents_digest`).")


class AutoencoderCheck(Record):
    """Results of a sparse autoencoder of the index on a sample of the corpus's tokens."""

    hook: str = Field(description="What it reads.")
    tokens: Count = Field(description="Tokens of the sample.")
    largest: float = Field(description="Largest difference from float64, relative to the lengths of the vectors.")
    undecided: Count = Field(description="Latents too close to their threshold to be compared.")
    active: float = Field(description="Latents above 0 of a token, on average.")
    explained_variance: float | None = Field(description="Share; below 0 where it is worse than the mean.")
    least_explained: Share = Field(description="Share below which it is said not to fit.")
    notes: tuple[str, ...] = Field(description="What it was trained on otherwise than it is read here.")


class RunIndex(Record):
    """The activation index whose tables were copied into the run."""

    index: str = Field(description="Name of the index's folder.")
    sha256: Sha256 = Field(description="SHA-256 of its `index.json`, in hex.")
    model: str = Field(description="Name of the model.")
    model_sha256: str = Field(description="Digest of the model's files.")
    units: Count = Field(description="Units that are indexed.")
    windows: Count = Field(description="Windows that were scanned.")
    tokens: Count = Field(description="Tokens that were scanned.")
    # Absent where no autoencoder is indexed, as in every run before there were any.
    autoencoders: dict[str, AutoencoderCheck] = Field(default={}, description="By name; absent without any.")
    of_images: bool = Field(default=False, description="Whether the model reads images, each a window; absent if not.")

    model_config = ConfigDict(protected_namespaces=())


class NoIndex(Record):
    """The audit names a model, and there is no index of the snapshot."""

    index: None = Field(description="Always null.")
    reason: str = Field(description="Why there is none; for people.")


class PublishedFile(Record):
    """A file of the run directory."""

    sha256: Sha256 = Field(description="SHA-256 in hex.")
    bytes: Count = Field(description="Size in bytes.")


class RunFile(Record):
    """Contents of `run.json`."""

    format: Literal[1] = Field(description="Version of this schema.")
    name: str = Field(description="Name of the audit.")
    run: str = Field(description="Name of the run directory.")
    snapshot: RunSnapshot
    coverage: RunCoverage
    # Runs before files that are not read were counted lack it.
    listing: FileListing | None = Field(default=None, description="Files that were seen, and what became of them.")
    integrity: tuple[IntegrityRule, ...] = Field(description="The rules that are always on.")
    complete: bool = Field(description="Whether every integrity rule holds.")
    reasons: tuple[str, ...] = Field(description="Details of the integrity rules that do not hold.")
    tokenizer: RunTokenizer
    facets: RunFacets
    cluster: str | None = Field(description="Where clusters come from, for people; null: each document is one.")
    # Runs before documents could lack a cluster value lack it: 0 then.
    documents_without_cluster: Count = Field(default=0, description="Documents that are clusters of their own.")
    token_groups: Literal["domain", "overall"] = Field(description="By what the table token_groups is cut.")
    mixture: IntendedMixture | None = Field(description="The intended mixture, if the audit names one.")
    filter: tuple[RunFilter, ...] = Field(description="Conditions that rows had to meet.")
    # The first runs lack it: they could not be compared with any.
    baselines: tuple[RunBaseline, ...] = Field(default=(), description="Runs that this one was compared with.")
    # Only runs of audits with `embedding:` have it.
    embedding: RunIndex | NoIndex | None = Field(default=None, description="The activation index of the snapshot.")
    # Runs before `--if-changed` lack it.
    inputs: Sha256 | None = Field(
        default=None, description="Digest of everything that the run depends on; null where that cannot be known."
    )
    versions: dict[str, str] = Field(description="Versions of Python, Unicode and the packages that compute figures.")
    spec: dict[str, Any] = Field(description="The audit file as it was read: `AuditSpec` of the version that ran.")
    files: dict[str, PublishedFile] = Field(description="Every other file of the run, by name relative to it.")

    @property
    def of_images(self) -> bool:
        """Whether documents are images; their texts are captions then."""
        return self.spec.get("document", {}).get("image") is not None

    def with_rule(self, rule: IntegrityRule) -> RunFile:
        """This record with one more integrity rule; incomplete if the rule does not hold."""
        more: dict[str, Any] = {"integrity": (*self.integrity, rule)}
        if not rule.holds:
            more |= {"complete": False, "reasons": (*self.reasons, rule.detail)}
        return self.model_copy(update=more)

    def with_files(self, files: dict[str, PublishedFile]) -> RunFile:
        """This record with the files of the run directory."""
        return self.model_copy(update={"files": files})

    def to_json(self) -> bytes:
        """The file's bytes, without fields that were never set; equal records give equal bytes."""
        return strict_json.dumps(self.model_dump(mode="json", exclude_unset=True), indent=2) + b"\n"


def read_run_file(folder: Path) -> RunFile:
    """Read `run.json` of a run directory, published or staged.

    Raises:
        StoreError: it is missing, not strict JSON, or not a record of this version; the message names the path of the
            key that is wrong.
    """
    path = folder / RUN_FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: this is not a published run directory.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}. Run the audit again.") from error
    return parse_run_file(data, str(path))


def parse_run_file(data: bytes, source: str = RUN_FILE) -> RunFile:
    """Parse `run.json`.

    Args:
        data: the bytes.
        source: what messages call the file.

    Raises:
        StoreError: as `read_run_file`.
    """
    try:
        return RunFile.model_validate_json(strict_json.dumps(strict_json.loads(data)))
    except strict_json.StrictJsonError as error:
        raise StoreError(f"{source} cannot be read: {error}. Run the audit again.") from None
    except ValidationError as error:
        problem = first_problem(error)
        raise StoreError(f"{source}: {problem}. It is damaged or was written by another version.") from None


def first_problem(error: ValidationError) -> str:
    """The path of the first invalid key, and why it is invalid."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the record'}: {first['msg']}"
