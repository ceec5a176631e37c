"""Judgements and the verdict: what `results.json` of a run says, strict and versioned.

A judgement is what one rule says of one slice. The verdict follows from the statuses alone (`verdict_of`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from corpus_audit.schemas.errors import ExitCode, StoreError
from corpus_audit.schemas.run import strict_json

RESULTS_FILE = "results.json"
POLICY_FILE = "policy.yaml"
"""Names in a run directory; the policy stands there byte for byte as it was when the run was judged."""

FORMAT: Literal["corpus-audit/results/1"] = "corpus-audit/results/1"


class Status(StrEnum):
    """What a rule says of a slice; everything after ``FAIL`` but ``WAIVED`` means that it could not be judged."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    INSUFFICIENT = "insufficient"
    """The data are too few for an answer: n below the minimum, or no bound where one is judged."""
    MISSING = "missing"
    """There is no such metric or slice, the metric is null, or what it is compared with is absent."""
    ERROR = "error"
    """The rule could not be evaluated: ambiguous, not finite, or it crashed."""
    WAIVED = "waived"
    """It fails, and a waiver that still holds says that this is accepted."""


UNJUDGED = (Status.INSUFFICIENT, Status.MISSING, Status.ERROR)


class Verdict(StrEnum):
    """What all judgements come to."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    NONE = "none"
    """At least one rule could not be judged, or there is no rule: neither good nor bad."""


class Record(BaseModel):
    """Base of every part of the results."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Bound(Record):
    """The range in which a figure has to lie; ``None`` is open."""

    minimum: float | None = None
    maximum: float | None = None


class Reference(Record):
    """What a figure is compared with, as it was when the run was judged.

    ``pinned``: value and 95 % bounds in a named run; ``last_signed``: in the last signed run; ``band``: the median over
    the last ``runs`` runs, and ``low`` and ``high`` one robust standard deviation (1.4826 MAD) to either side.
    ``compare`` is how the figure is held against it; without a ``value`` there is a ``reason``.
    """

    kind: Literal["pinned", "last_signed", "band"]
    run: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    runs: int = 1
    compare: Literal["difference", "ratio", "spread"] | None = None
    reason: str = ""

    @property
    def unitless(self) -> bool:
        """Whether what is held against the bounds has lost the metric's unit."""
        return self.compare in ("ratio", "spread")


class Judgement(Record):
    """What one rule says of one slice.

    Attributes:
        rule: the rule's id; integrity rules have those of `run.json` (``coverage``, ``conservation`` …).
        kind: integrity rules are always on and can't be waived.
        title: the rule in a few words.
        metric, slice: what is judged; empty for integrity rules.
        status, reason: the outcome, and one sentence that says why, whatever the outcome.
        judged: which figure is held against the bounds; ``interval``: both bounds, so that only what is beyond them
            with certainty fails, only what is within them with certainty passes, and the rest has too little data.
        observed: that figure, of an interval its value; after comparison with ``reference`` if there is one.
        value, low, high, n, unit: the row of the metrics table; bounds at 95 %.
        warn, fail: the ranges outside of which the rule warns or fails.
        minimum_n: the least ``n`` that allows an answer.
        owner, rationale: who answers for the rule, and why it is there.
        next_step: what to do now; empty when the rule passes.
        waiver: id of the waiver that was applied.
        line: where the rule stands in the policy, counted from 1.
    """

    rule: str
    kind: Literal["integrity", "rule"]
    title: str
    metric: str = ""
    slice: str = ""
    status: Status
    reason: str
    judged: Literal["interval", "value", "low", "high"] = "value"
    observed: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    unit: str = ""
    warn: Bound | None = None
    fail: Bound | None = None
    minimum_n: int | None = None
    reference: Reference | None = None
    owner: str = ""
    rationale: str = ""
    next_step: str = ""
    waiver: str | None = None
    line: int | None = None

    @property
    def compared_unit(self) -> str:
        """The unit of what is held against the bounds."""
        return "" if self.reference is not None and self.reference.unitless else self.unit


class WaiverUse(Record):
    """A waiver of the policy and what became of it on the day the run was judged.

    ``used``: it covers a failure; ``unused``: nothing fails that it covers; ``expired``; ``void``: the value is worse
    than the waiver holds for.
    """

    id: str
    rule: str
    slice: str
    state: Literal["used", "unused", "expired", "void"]
    reason: str
    ticket: str
    owner: str
    approved_by: str
    expires: str
    holds_while: Bound
    line: int | None = None


class PolicyFacts(Record):
    """Which policy judged, and what it asks for before anybody may train: ``sha256`` is of the file's bytes."""

    name: str
    version: str
    sha256: str
    approvals: Annotated[int, Field(ge=0)]
    roles: tuple[str, ...] = ()


class PastJudgement(Record):
    """What a rule said of a slice in an earlier run."""

    rule: str
    slice: str
    status: Status
    observed: float | None = None


class LastSigned(Record):
    """The newest signed run before this one, as it was when this one was judged: what its signers saw.

    ``envelope`` is the SHA-256 of the sign-off; totals are of the earlier corpus.
    """

    run: str
    envelope: str
    snapshot: str
    policy: str
    shards: int
    documents: int
    tokens: int
    judgements: tuple[PastJudgement, ...]


class Results(Record):
    """Contents of `results.json`; ``judged_on`` is the day (ISO 8601, UTC) against which waivers were held."""

    schema_: Literal["corpus-audit/results/1"] = Field(default=FORMAT, alias="schema")
    name: str
    run: str
    snapshot: str
    judged_on: str
    policy: PolicyFacts
    verdict: Verdict
    counts: dict[Status, int]
    judgements: tuple[Judgement, ...]
    waivers: tuple[WaiverUse, ...] = ()
    last_signed: LastSigned | None = None

    model_config = ConfigDict(populate_by_name=True)

    @property
    def exit_code(self) -> ExitCode:
        """What a process that was asked for this verdict answers; `--fail-on warn` is the caller's."""
        return EXIT_CODES[self.verdict]

    def to_json(self) -> bytes:
        """The file's bytes; the same results are the same bytes."""
        return strict_json.dumps(self.model_dump(mode="json", by_alias=True), indent=1) + b"\n"


EXIT_CODES = {
    Verdict.PASS: ExitCode.OK,
    Verdict.WARN: ExitCode.OK,
    Verdict.FAIL: ExitCode.FAIL,
    Verdict.NONE: ExitCode.NO_VERDICT,
}


def verdict_of(statuses: Iterable[Status]) -> Verdict:
    """The verdict: nothing unjudged, or there is none; then the worst status. A waived failure counts as a warning.

    No status at all is no verdict: a policy that judges nothing passes nothing.
    """
    counts = Counter(statuses)
    if not counts or any(counts[status] for status in UNJUDGED):
        return Verdict.NONE
    if counts[Status.FAIL]:
        return Verdict.FAIL
    return Verdict.WARN if counts[Status.WARN] or counts[Status.WAIVED] else Verdict.PASS


def read_results(data: bytes, source: str = RESULTS_FILE) -> Results:
    """`results.json` from its bytes.

    Raises:
        StoreError: not strict JSON, of another version, or a verdict or counts that do not follow from the judgements.
    """
    try:
        results = Results.model_validate_json(strict_json.dumps(strict_json.loads(data)))
    except (strict_json.StrictJsonError, ValidationError) as error:
        raise StoreError(f"{source} cannot be read: {error}") from None
    counts = Counter(judgement.status for judgement in results.judgements)
    if verdict_of(counts.elements()) is not results.verdict or dict(counts) != results.counts:
        raise StoreError(f"{source}: the verdict does not follow from the judgements")
    return results
