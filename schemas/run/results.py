"""Judgements and the verdict: the content of `results.json`, strict and versioned.

A judgement is the outcome of one rule for one slice. The verdict follows from the statuses alone (`verdict_of`).
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
"""Names in a run directory; the policy is a byte-for-byte copy of the file that judged the run."""

FORMAT: Literal["corpus-audit/results/1"] = "corpus-audit/results/1"


class Status(StrEnum):
    """Outcome of a rule for a slice; `UNJUDGED` lists those that mean that it could not be judged."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    INSUFFICIENT = "insufficient"
    """Not enough data: n is below the minimum, or a bound that is judged is missing."""
    MISSING = "missing"
    """The metric or slice does not exist, the metric is null, or its reference is absent."""
    ERROR = "error"
    """The rule could not be evaluated: ambiguous, not finite, or it crashed."""
    WAIVED = "waived"
    """It fails, and a valid waiver accepts the failure."""


UNJUDGED = (Status.INSUFFICIENT, Status.MISSING, Status.ERROR)


class Verdict(StrEnum):
    """Outcome of all judgements."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    NONE = "none"
    """No verdict: at least one rule could not be judged, or there is no rule."""


class Record(BaseModel):
    """Base of every part of the results."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Bound(Record):
    """The range that a figure must be in; an end that is ``None`` is open."""

    minimum: float | None = None
    maximum: float | None = None


class Reference(Record):
    """The value that a figure is compared with, as of when the run was judged.

    ``pinned``: value and 95 % bounds in a named run; ``last_signed``: in the last signed run; ``band``: the median over
    the last ``runs`` runs, and ``low`` and ``high`` one robust standard deviation (1.4826 MAD) to either side.
    ``compare`` is the kind of comparison; without a ``value`` there is a ``reason``.
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
        """Whether the compared figure has no unit, as a ratio or a spread."""
        return self.compare in ("ratio", "spread")


class Judgement(Record):
    """The outcome of one rule for one slice.

    Attributes:
        rule: the rule's id; integrity rules have those of `run.json` (``coverage``, ``conservation`` …).
        kind: integrity rules are always on and can't be waived.
        title: the rule in a few words.
        metric, slice: what is judged; empty for integrity rules.
        status, reason: the outcome, and one sentence that says why.
        judged: the figure that is compared with the ranges. ``interval``: both 95 % bounds, so that a figure fails only
            if all of its interval is outside, passes only if all of it is inside, and has too little data otherwise.
        observed: that figure, of an interval its value; after comparison with ``reference`` if there is one.
        value, low, high, n, unit: the row of the metrics table; bounds at 95 %.
        warn, fail: the ranges outside of which the rule warns or fails.
        minimum_n: the least ``n`` that allows an answer.
        owner, rationale: who is responsible for the rule, and why it exists.
        next_step: what to do now; empty when the rule passes.
        waiver: id of the waiver that was applied.
        line: line of the rule in the policy, from 1.
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
        """The unit of the figure that is compared with the ranges."""
        return "" if self.reference is not None and self.reference.unitless else self.unit


class WaiverUse(Record):
    """A waiver of the policy and its state on the day when the run was judged.

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
    """The policy that judged, and the approvals that it requires for training; ``sha256`` is of the file's bytes."""

    name: str
    version: str
    sha256: str
    approvals: Annotated[int, Field(ge=0)]
    roles: tuple[str, ...] = ()


class PastJudgement(Record):
    """The outcome of a rule for a slice in an earlier run."""

    rule: str
    slice: str
    status: Status
    observed: float | None = None


class LastSigned(Record):
    """The newest signed run before this one, as of when this one was judged.

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
    """Contents of `results.json`; ``judged_on`` is the day (ISO 8601, UTC) for which waivers were checked."""

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
        """Exit code for this verdict; the caller applies `--fail-on warn`."""
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
    """The verdict of statuses: none if any is unjudged, otherwise the worst. A waived failure counts as a warning.

    No status at all is no verdict: a policy that judges nothing passes nothing.
    """
    counts = Counter(statuses)
    if not counts or any(counts[status] for status in UNJUDGED):
        return Verdict.NONE
    if counts[Status.FAIL]:
        return Verdict.FAIL
    return Verdict.WARN if counts[Status.WARN] or counts[Status.WAIVED] else Verdict.PASS


def read_results(data: bytes, source: str = RESULTS_FILE) -> Results:
    """Parse `results.json`.

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
