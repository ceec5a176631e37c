"""Judgements and the verdict: the content of `results.json`, strict and versioned.

A judgement is what one rule says of one slice. The verdict follows from the judgements alone (`verdict_of`).

Two versions are read. Version 2 is written. In version 1, which earlier releases wrote, rules that did not say how they
judge were judged by the interval, ``observed`` was the bound that was judged, a lack of data always meant no verdict,
and no verdict hid a failure.
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

Format = Literal["corpus-audit/results/1", "corpus-audit/results/2"]
FORMAT_1: Format = "corpus-audit/results/1"
FORMAT: Format = "corpus-audit/results/2"

REQUIRED_WHOLE = "required_whole"
REQUIRED_MANIFEST = "required_manifest"
"""Rules that a policy's ``coverage:`` asks for; no waiver reaches them."""

Judged = Literal["interval", "value", "low", "high"]
"""Which figure is compared with the bounds of a rule."""

Insufficient = Literal["pass", "warn", "none"]
"""What a lack of data for an answer does to the verdict."""


class Status(StrEnum):
    """What a rule says of a slice."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    INSUFFICIENT = "insufficient"
    """The figure was measured, and the data are too few for an answer: n is below the minimum, there is nothing to
    test, or the interval reaches across the bound. The policy says what that means for the verdict."""
    MISSING = "missing"
    """Not measured: there is no such metric or slice, it has no value, or what it is compared with is absent."""
    ERROR = "error"
    """The rule could not be evaluated: ambiguous, not finite, without the bound that is judged, or it crashed."""
    WAIVED = "waived"
    """It fails or does not have enough data, and a waiver that is in force accepts this."""


class Verdict(StrEnum):
    """Outcome of all judgements."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    NONE = "none"
    """Nothing fails, and something was not measured or there is no rule: neither good nor bad."""


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
    ``compare`` is how the figure is compared with it; without a ``value`` there is a ``reason``, and ``too_few_runs``
    says whether it is that there are not enough runs for a band yet.
    """

    kind: Literal["pinned", "last_signed", "band"]
    run: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    runs: int = 1
    compare: Literal["difference", "ratio", "spread"] | None = None
    reason: str = ""
    too_few_runs: bool = False

    @property
    def unitless(self) -> bool:
        """Whether what is compared with the bounds has lost the metric's unit."""
        return self.compare in ("ratio", "spread")


class Judgement(Record):
    """The outcome of one rule for one slice.

    Attributes:
        rule: the rule's id; integrity rules have those of `run.json` (``coverage``, ``conservation`` …).
        kind: integrity rules are always on and can't be waived.
        title: the rule in a few words.
        metric, slice: what is judged; empty for integrity rules.
        status, reason: the outcome, and one sentence that says why, whatever the outcome.
        judged: which figure was compared with the bounds; ``interval``: both ends, so that only what is certainly
            beyond the bounds fails, only what is certainly within them passes, and the rest does not have enough data.
        judged_because: why that figure; empty in version 1 and for integrity rules.
        observed: the observed value, after comparison with ``reference`` if there is one. In version 1 it was the bound
            if ``judged`` is ``low`` or ``high``.
        judged_value: the number that was compared with the bounds: the observed value, or the bound that ``judged``
            names; null if the interval was, and in version 1.
        value, low, high, n, unit: the row of the metrics table; bounds at 95 %. Of a fact of a corpus that was read
            whole, they say how much a corpus from the same source would vary.
        warn, fail: the ranges outside of which the rule warns or fails.
        minimum_n: the least ``n`` that allows an answer.
        insufficient: what the status ``insufficient`` means for the verdict.
        owner, rationale: who answers for the rule, and why it is there.
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
    judged: Judged = "value"
    judged_because: str = ""
    observed: float | None = None
    judged_value: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    unit: str = ""
    warn: Bound | None = None
    fail: Bound | None = None
    minimum_n: int | None = None
    insufficient: Insufficient = "none"
    reference: Reference | None = None
    owner: str = ""
    rationale: str = ""
    next_step: str = ""
    waiver: str | None = None
    line: int | None = None

    @property
    def compared_unit(self) -> str:
        """The unit of what is compared with the bounds."""
        return "" if self.reference is not None and self.reference.unitless else self.unit

    @property
    def effect(self) -> Verdict:
        """What this judgement alone would make of the verdict."""
        return Verdict(self.insufficient) if self.status is Status.INSUFFICIENT else _EFFECTS[self.status]


_EFFECTS = {
    Status.PASS: Verdict.PASS,
    Status.WARN: Verdict.WARN,
    Status.WAIVED: Verdict.WARN,
    Status.FAIL: Verdict.FAIL,
    Status.MISSING: Verdict.NONE,
    Status.ERROR: Verdict.NONE,
}


class WaiverUse(Record):
    """A waiver of the policy and its state on the day when the run was judged.

    ``used``: it covers a failure, or a lack of data; ``unused``: there is nothing to cover; ``expired``; ``void``: the
    value is worse than the waiver allows.
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


class NotJudged(Record):
    """A figure that is not 0 and that no rule judges: ``count`` of ``n`` if it counts something.

    ``what`` is the meaning of the metric, in words; ``unit`` that of the value.
    """

    metric: str
    slice: str
    what: str
    value: float
    count: int | None = None
    n: int
    unit: str


class Results(Record):
    """Contents of `results.json`; ``judged_on`` is the day (ISO 8601, UTC) on which waivers had to be in force.

    ``not_judged`` is what was measured and no rule judges, the biggest first; version 1 has none.
    """

    schema_: Format = Field(default=FORMAT, alias="schema")
    name: str
    run: str
    snapshot: str
    judged_on: str
    policy: PolicyFacts
    verdict: Verdict
    counts: dict[Status, int]
    judgements: tuple[Judgement, ...]
    waivers: tuple[WaiverUse, ...] = ()
    not_judged: tuple[NotJudged, ...] = ()
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


def verdict_of(judgements: Iterable[Judgement], version: Format = FORMAT) -> Verdict:
    """The verdict that follows from judgements.

    1. Without any judgement there is none: a policy that judges nothing passes nothing.
    2. If an integrity rule is broken there is none: nothing that was measured can be relied on.
    3. If a rule fails, the run fails, whatever else was not measured.
    4. If anything was not measured, or does not have enough data and the policy says ``insufficient: none``, there is
       none.
    5. Else it warns or passes. What is waived counts as a warning.

    In version 1, no verdict came before a failure.
    """
    judged = list(judgements)
    effects = {judgement.effect for judgement in judged}
    broken = version == FORMAT_1 or any(
        judgement.kind == "integrity" and judgement.rule not in (REQUIRED_WHOLE, REQUIRED_MANIFEST)
        for judgement in judged
        if judgement.effect is Verdict.NONE
    )
    if not judged or (broken and Verdict.NONE in effects):
        return Verdict.NONE
    return next(effect for effect in (Verdict.FAIL, Verdict.NONE, Verdict.WARN, Verdict.PASS) if effect in effects)


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
    if verdict_of(results.judgements, results.schema_) is not results.verdict or dict(counts) != results.counts:
        raise StoreError(f"{source}: the verdict does not follow from the judgements")
    return results
