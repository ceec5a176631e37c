"""The policy: what ``policy.yaml`` may say. Strict, frozen, every unknown key an error.

`load_policy` in `schemas.spec.policy_file` reads the YAML, reports mistakes with file, line and column, and checks what
has to hold between its parts (ids, waivers and the rules they belong to).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from corpus_audit.schemas.run.results import REQUIRED_MANIFEST, REQUIRED_WHOLE, Bound, Insufficient
from corpus_audit.schemas.spec.local_paths import expand_home

INTEGRITY_RULES = (
    "coverage",
    "conservation",
    "digests",
    "tokenizer_verification",
    "dead_letter_budget",
    "shard_loss",
    "unread_files",
    "contamination_self_check",
)
"""Rules that every run has to meet, whatever the policy says; no waiver reaches them."""

RESERVED = (*INTEGRITY_RULES, REQUIRED_WHOLE, REQUIRED_MANIFEST)

WAIVER_DAYS = 90
"""The longest time for which a waiver may be in force."""

Figure = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Id = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80, description="Letters, digits, _, . and -.")
]


def _day(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not a date; write it as 2026-12-31")


Day = Annotated[str, AfterValidator(_day), Field(json_schema_extra={"format": "date"})]


class PolicyModel(BaseModel):
    """Base of every part of the policy."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Range(PolicyModel):
    """The range that a figure must be in, ends included; an end that is left out is open."""

    minimum: Figure | None = Field(default=None, description="The least that is allowed.")
    maximum: Figure | None = Field(default=None, description="The most that is allowed.")

    @model_validator(mode="after")
    def _some_end(self) -> Range:
        if self.minimum is None and self.maximum is None:
            raise ValueError("a range needs a minimum, a maximum or both")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"the minimum {self.minimum:g} is above the maximum {self.maximum:g}")
        return self

    @property
    def bound(self) -> Bound:
        """The range as a record of results.json."""
        return Bound(minimum=self.minimum, maximum=self.maximum)


class ReferenceSpec(PolicyModel):
    """The reference of a figure, and the comparison; the bounds of the rule then apply to its result."""

    kind: Literal["pinned", "last_signed", "band"] = Field(
        description="A named run, the newest signed run, or the robust band (median, MAD) of the last runs."
    )
    compare: Literal["difference", "ratio", "spread"] = Field(
        description="value - reference, value / reference, or, of a band, (value - median) / (1.4826 MAD)."
    )
    run: Annotated[Text, AfterValidator(expand_home)] | None = Field(
        default=None,
        description="Of pinned: a run directory or an output folder, relative to this file, the name of a run in the "
        "audit's output folder, or `baseline` / `baseline=<label>` for a baseline that audit.yaml names.",
    )
    runs: Annotated[int, Field(ge=3, le=100)] | None = Field(
        default=None, description="Of band: how many of the last runs make it; 8 by default."
    )
    minimum_runs: Annotated[int, Field(ge=3, le=100)] | None = Field(
        default=None, description="Of band: with fewer runs than this there is none; 5, or `runs` if that is less."
    )

    @model_validator(mode="after")
    def _keys_of_the_kind(self) -> ReferenceSpec:
        if (self.run is None) == (self.kind == "pinned"):
            raise ValueError(
                "kind pinned needs the key 'run'" if self.run is None else f"kind {self.kind} has no key 'run'"
            )
        if self.kind != "band":
            if self.runs is not None or self.minimum_runs is not None:
                raise ValueError(f"kind {self.kind} has no keys 'runs' and 'minimum_runs'; kind band has")
            if self.compare == "spread":
                raise ValueError("compare: spread needs a band")
        elif self.band_minimum > self.band_runs:
            raise ValueError(f"minimum_runs {self.band_minimum} is more than runs {self.band_runs}")
        return self

    @property
    def band_runs(self) -> int:
        """Runs that make the band."""
        return self.runs or 8

    @property
    def band_minimum(self) -> int:
        """Runs without which there is no band."""
        return self.minimum_runs or min(5, self.band_runs)


class Rule(PolicyModel):
    """One rule: a figure of the metrics table, in one slice or in many, and the bounds in which it has to lie."""

    id: Id
    title: Annotated[str, Field(min_length=1, max_length=120)] = Field(description="The rule in a few words.")
    metric: Annotated[str, Field(min_length=1, max_length=120)] = Field(
        description="A metric of the run; 'corpus-audit policy explain metrics' lists them."
    )
    slice: Annotated[str, Field(min_length=1, max_length=400)] = Field(
        default="all",
        description="One slice, such as domain=web, or a pattern, such as domain=*; * stands for any run of characters "
        "of one value. A pattern that names nothing is `missing`.",
    )
    judged: Literal["auto", "interval", "value", "low", "high"] = Field(
        default="auto",
        description="auto: a fact of a corpus that was read whole is judged by its value; estimates, tests of drift "
        "and sampled audits by the interval. interval: fails if the whole 95 % interval is beyond the bound, passes if "
        "all of it is within, else there is not enough data. value, low, high: that figure alone is compared with the "
        "bounds.",
    )
    warn: Range | None = Field(default=None, description="Outside of this range the rule warns.")
    fail: Range | None = Field(default=None, description="Outside of this range the rule fails.")
    minimum_n: Annotated[int, Field(ge=1)] = Field(
        default=1, description="With a smaller denominator than this there is not enough data."
    )
    insufficient: Insufficient | None = Field(
        default=None, description="What a lack of data means for the verdict; as the policy says if left out."
    )
    reference: ReferenceSpec | None = None
    owner: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="Who answers for the rule.")
    rationale: Text = Field(description="Why the rule is there and why its bounds are what they are.")
    next_step: Annotated[str, Field(max_length=2000)] = Field(
        default="", description="What to do when it does not pass."
    )

    @model_validator(mode="after")
    def _bounds_make_sense(self) -> Rule:
        if self.id in RESERVED:
            raise ValueError(f"{self.id!r} is the name of an integrity rule; choose another id")
        if self.warn is None and self.fail is None:
            raise ValueError("the rule has no bounds: it needs warn, fail or both")
        if self.warn is not None and self.fail is not None:
            for end, beyond in (("maximum", 1), ("minimum", -1)):
                warn, fail = getattr(self.warn, end), getattr(self.fail, end)
                if warn is not None and fail is not None and (warn - fail) * beyond > 0:
                    raise ValueError(f"the {end} of warn ({warn:g}) lies beyond that of fail ({fail:g})")
        return self


class Waiver(PolicyModel):
    """A failure, or a lack of data, that is accepted for a time: of a single slice, while the figure is in a range."""

    id: Id
    rule: Id = Field(description="The rule that does not pass.")
    slice: Annotated[str, Field(min_length=1, max_length=400)] = Field(
        default="all", description="The slice that does not pass, exactly as it is reported; no pattern."
    )
    holds_while: Range = Field(description="Void when the judged figure leaves this range.")
    reason: Text
    ticket: Annotated[str, Field(min_length=1, max_length=200)]
    owner: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="Who asked for it.")
    approved_by: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="Another person than owner.")
    created: Day
    expires: Day = Field(description=f"The last day on which it holds; at most {WAIVER_DAYS} days after created.")

    @model_validator(mode="after")
    def _short_and_approved_by_another(self) -> Waiver:
        if self.owner.strip().casefold() == self.approved_by.strip().casefold():
            raise ValueError(f"waiver {self.id}: owner and approved_by are the same person")
        length = date.fromisoformat(self.expires) - date.fromisoformat(self.created)
        if length <= timedelta(0):
            raise ValueError(f"waiver {self.id} expires on the day it was made, or before")
        if length > timedelta(days=WAIVER_DAYS):
            raise ValueError(f"waiver {self.id} holds for {length.days} days; at most {WAIVER_DAYS} are allowed")
        return self


class CoverageSpec(PolicyModel):
    """How much of the corpus has to be read. Shard errors never pass, whatever these keys say."""

    whole: bool = Field(default=True, description="Every split was read: a sampled audit does not pass.")
    manifest: bool = Field(
        default=False, description="The shards were compared with a manifest, which shows shards that were cut short."
    )


class ApprovalsSpec(PolicyModel):
    """Approvals that are required before training; the author of the sign-off does not count."""

    required: Annotated[int, Field(ge=0, le=20)] = Field(default=1, description="Distinct people who approve.")
    roles: tuple[Annotated[str, Field(min_length=1, max_length=80)], ...] = Field(
        default=(), description="Roles that have to be among them."
    )


class Policy(PolicyModel):
    """A policy: rules over the metrics of a run, waivers, and what else has to hold."""

    name: Annotated[str, Field(min_length=1, max_length=120)]
    version: Annotated[str, Field(min_length=1, max_length=40)] | int = Field(
        description="Yours; change it with the rules."
    )
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=5000)]
    waivers: tuple[Waiver, ...] = ()
    insufficient: Insufficient = Field(
        default="warn",
        description="What a rule without enough data means for the verdict: pass, warn, or none (no verdict).",
    )
    coverage: CoverageSpec = CoverageSpec()
    approvals: ApprovalsSpec = ApprovalsSpec()
