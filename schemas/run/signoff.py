"""The sign-off: an in-toto Statement v1 whose predicate says what was audited, with which result, and who is
responsible.

`PREDICATE_TYPE` names the predicate `Predicate`. Everything in it but `Decision` is a function of the run directory, so
a verifier derives it again and compares. Counts are decimal strings: JSON numbers end at 2^53 in many readers.
Field names are camelCase in the file. Statement: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.results import Bound, Status

STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Literal["urn:corpus-audit:pretraining-signoff:v1"] = "urn:corpus-audit:pretraining-signoff:v1"
PLAN_FORMAT: Literal["corpus-audit/plan/1"] = "corpus-audit/plan/1"

SIGNOFFS, SIGNOFF_SUFFIX, PLAN_SUFFIX, LEDGER = "signoffs", ".dsse.json", ".plan.json", "ledger.jsonl"
"""Where an output folder keeps them: ``<output>/signoffs/<run>.dsse.json``, a copy of the signed plan beside it, and
``<output>/ledger.jsonl``."""


class Refusal(StrEnum):
    """Why a sign-off does not verify; the values are stable, so that scripts can rely on them."""

    SIGNOFF_UNREADABLE = "signoff_unreadable"
    ENVELOPE_SIZE = "envelope_size"
    ENVELOPE_JSON = "envelope_json"
    ENVELOPE_FORMAT = "envelope_format"
    ENVELOPE_BASE64 = "envelope_base64"
    TRUST_KEY_TWICE = "trust_key_twice"
    SIGNATURE_UNKNOWN = "signature_unknown"
    """No trusted key made this signature: the key is not in the trust file, or the signature or payload was changed."""
    SIGNATURE_REPEATED = "signature_repeated"
    SIGNATURE_THRESHOLD = "signature_threshold"
    PAYLOAD_TYPE = "payload_type"
    STATEMENT_JSON = "statement_json"
    STATEMENT_TYPE = "statement_type"
    PREDICATE_TYPE = "predicate_type"
    STATEMENT_FORMAT = "statement_format"
    TIME_FUTURE = "time_future"
    TIME_EXPIRED = "time_expired"
    KEY_NOT_YET_VALID = "key_not_yet_valid"
    KEY_EXPIRED = "key_expired"
    KEY_RETIRED = "key_retired"
    KEY_COMPROMISED = "key_compromised"
    AUTHOR_UNSIGNED = "author_unsigned"
    WAIVER_OWNER_APPROVES = "waiver_owner_approves"
    ROLE_MISSING = "role_missing"
    POLICY_NOT_ALLOWED = "policy_not_allowed"
    WAIVER_EXPIRED = "waiver_expired"
    WAIVER_VOID = "waiver_void"
    LEDGER_MISSING = "ledger_missing"
    LEDGER_FORMAT = "ledger_format"
    LEDGER_CHAIN = "ledger_chain"
    LEDGER_HEAD = "ledger_head"
    LEDGER_ENTRY = "ledger_entry"
    """The ledger holds no entry for the sign-off, or its newest one is of other bytes."""
    RUN_FILES = "run_files"
    RUN_DIGEST = "run_digest"
    RUN_RESULTS = "run_results"
    STATEMENT_MISMATCH = "statement_mismatch"
    MANIFEST = "manifest"
    PLAN_ABSENT = "plan_absent"
    PLAN_MISMATCH = "plan_mismatch"
    PLAN_UNREADABLE = "plan_unreadable"
    SHARD_MISSING = "shard_missing"
    SHARD_CHANGED = "shard_changed"
    SHARD_EXTRA = "shard_extra"
    """A file lies where the audit read its shards and was not signed: a job that lists the folder would read it."""
    CORPUS_UNKNOWN = "corpus_unknown"
    VERDICT = "verdict"
    """The verdict does not follow from the results and the policy."""


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,30})$")]
Decimal = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?$")]
"""A float that is not negative, as ``repr`` writes it: reading it back gives the same 64 bits."""
Time = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]


class StatementPart(BaseModel):
    """Base of every part of the statement: unknown keys and type conversions are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, alias_generator=to_camel, populate_by_name=True
    )


class DigestSet(StatementPart):
    """A digest as in-toto writes it."""

    sha256: Digest


class Subject(StatementPart):
    """A file that the statement is about; consumers match it by digest."""

    name: str
    digest: DigestSet


class MerkleRoot(StatementPart):
    """Root of the tree over (name, size, sha256) of every shard, in the manifest's order (RFC 6962, section 2.1)."""

    algorithm: Literal["rfc6962-sha256"]
    root: Digest


class SignedCorpus(StatementPart):
    """The corpus that was audited."""

    name: str
    snapshot: Digest
    shards: Count
    bytes: Count
    documents: Count
    tokens: Count
    tokenizer: DigestSet
    merkle: MerkleRoot


class SignedCoverage(StatementPart):
    """How much of the corpus was read."""

    shards_read: Count
    rows: Count
    documents: Count
    dead_letters: Count
    filtered: Count
    sampled: bool


class SignedPolicy(StatementPart):
    """The policy; the digest is of the file's bytes."""

    name: str
    version: str
    digest: DigestSet


class SignedWaiver(StatementPart):
    """A failure, or a lack of data, that was accepted: ``observed`` may not leave ``holds_while``, and ``expires`` is
    the last day. ``unknown`` says that the data were too few for a figure, so that ``observed`` is null."""

    id: str
    rule: str
    slice: str
    observed: float | None
    unknown: bool = False
    holds_while: Bound
    reason: str
    ticket: str
    owner: str
    approved_by: str
    expires: str


class NotJudged(StatementPart):
    """Something that was measured and that no rule judges: ``count`` of ``n``, if it counts something."""

    metric: str
    slice: str
    what: str
    value: float
    count: Count | None
    n: Count


class DomainPlan(StatementPart):
    """What is to be drawn from a domain: ``weight`` is of the plan's unit; tokens drawn and passes over unique text."""

    domain: str
    weight: Decimal
    tokens: Decimal
    epochs: Decimal | None


class Plan(StatementPart):
    """A sampling plan: what a training job may draw from the signed corpus."""

    schema_: Literal["corpus-audit/plan/1"] = Field(default=PLAN_FORMAT, alias="schema")
    strategy: str
    kind: str
    snapshot: Digest
    tokenizer: DigestSet
    unit: Literal["tokens", "documents"]
    tokens: Decimal
    epoch_cap: Decimal | None
    domains: tuple[DomainPlan, ...]

    def to_json(self) -> bytes:
        """A plan file's bytes."""
        return strict_json.dumps(self.model_dump(mode="json", by_alias=True), indent=1) + b"\n"


class Measured(StatementPart):
    """The part of the predicate that follows from the run directory alone."""

    verdict: Literal["PASSED", "PASSED_WITH_WAIVERS"]
    run: str
    corpus: SignedCorpus
    coverage: SignedCoverage
    policy: SignedPolicy
    counts: dict[Status, int]
    waivers: tuple[SignedWaiver, ...]
    not_judged: tuple[NotJudged, ...] = ()
    required: Annotated[int, Field(ge=0)]
    roles: tuple[str, ...]
    plan: Plan | None


class LedgerPosition(StatementPart):
    """The statement's position in the ledger: its entry number, and the digest of the entry before."""

    sequence: Count
    previous: Digest


class Decision(StatementPart):
    """The part of the predicate that people add. ``author`` is a person or a pipeline of the trust file."""

    author: str
    intended_use: str
    limitations: tuple[str, ...]
    time_created: Time
    valid_until: Time


class Predicate(StatementPart):
    """The predicate: measured facts, the decision, and the position in the ledger."""

    measured: Measured
    decision: Decision
    ledger: LedgerPosition


class Statement(StatementPart):
    """The signed payload; subjects are `MANIFEST.sha256`, `run.json`, `results.json` and `policy.yaml` of the run."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject, ...]
    predicate_type: Literal["urn:corpus-audit:pretraining-signoff:v1"]
    predicate: Predicate

    def to_json(self) -> bytes:
        """The bytes that are signed."""
        return strict_json.dumps(self.model_dump(mode="json", by_alias=True))

    def digest_of(self, name: str) -> str | None:
        """SHA-256 of the subject with a name; None if there is not exactly one."""
        digests = [subject.digest.sha256 for subject in self.subject if subject.name == name]
        return digests[0] if len(digests) == 1 else None


def read_statement(payload: bytes) -> Statement:
    """Parse the statement in a payload.

    Raises:
        VerificationError: not strict JSON, not a Statement v1, another predicate type, or a field that is wrong.
    """
    try:
        value = strict_json.loads(payload)
    except strict_json.StrictJsonError as error:
        raise VerificationError(Refusal.STATEMENT_JSON, f"the statement cannot be read: {error}") from None
    if not isinstance(value, dict) or value.get("_type") != STATEMENT_TYPE:
        raise VerificationError(Refusal.STATEMENT_TYPE, "the payload is not an in-toto Statement v1")
    if value.get("predicateType") != PREDICATE_TYPE:
        raise VerificationError(Refusal.PREDICATE_TYPE, "the statement's predicate is not a pre-training sign-off v1")
    try:
        return Statement.model_validate_json(strict_json.dumps(value))
    except ValidationError as error:
        raise VerificationError(
            Refusal.STATEMENT_FORMAT, f"the statement is not valid: {first_problem(error)}"
        ) from None


def read_plan(data: bytes) -> Plan:
    """Parse a plan file.

    Raises:
        VerificationError: it is not a valid plan.
    """
    try:
        return Plan.model_validate_json(strict_json.dumps(strict_json.loads(data)))
    except strict_json.StrictJsonError as error:
        raise VerificationError(Refusal.PLAN_UNREADABLE, f"the plan cannot be read: {error}") from None
    except ValidationError as error:
        raise VerificationError(Refusal.PLAN_UNREADABLE, f"the plan is not valid: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """The first problem of a validation error, with the path of its key."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def time_text(moment: datetime) -> str:
    """A moment as the statement writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_of(text: str) -> datetime:
    """The moment that a time text stands for.

    Raises:
        ValueError: there is no such time.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
