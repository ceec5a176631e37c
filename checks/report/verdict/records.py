"""The frozen records that the report's section on the verdict is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StatusName = Literal["pass", "warn", "fail", "insufficient", "missing", "error", "waived"]
VerdictName = Literal["pass", "warn", "fail", "none"]


@dataclass(frozen=True)
class JudgementRow:
    """One rule and one slice. Figures are written already, in the unit of the metric; ``-`` stands for none.

    ``before`` is the status in the last signed run, if there is one and it judged this rule and slice.
    """

    rule: str
    title: str
    integrity: bool
    metric: str
    slice: str
    status: StatusName
    judged: str
    observed: str
    interval: str
    n: str
    warns: str
    fails: str
    minimum_n: str
    reference: str
    reason: str
    next_step: str
    owner: str
    rationale: str
    waiver: str | None
    line: int | None
    before: StatusName | None = None

    @property
    def passes(self) -> bool:
        """Whether the judgement passes, so that nobody has to act on it."""
        return self.status == "pass"


@dataclass(frozen=True)
class WaiverRow:
    """A waiver of the policy and its state in this run."""

    id: str
    rule: str
    slice: str
    state: Literal["used", "unused", "expired", "void"]
    holds_while: str
    reason: str
    ticket: str
    owner: str
    approved_by: str
    expires: str


@dataclass(frozen=True)
class TotalChange:
    """A total of the corpus, in the last signed run and now."""

    what: str
    before: int
    now: int


@dataclass(frozen=True)
class SinceSigned:
    """What changed since the last sign-off.

    Attributes:
        totals: totals of the corpus, then and now.
        changed: judgements whose status changed.
        added: number of judgements that the last signed run did not have.
        removed: (rule, slice) of judgements that only the last signed run had.
    """

    run: str
    envelope: str
    same_snapshot: bool
    same_policy: bool
    totals: tuple[TotalChange, ...]
    changed: tuple[JudgementRow, ...]
    added: int
    removed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class VerdictView:
    """What the section shows. ``judgements`` are ordered: what fails or cannot be judged first, what passes last;
    ``hidden`` passing ones are in `results.json` alone."""

    verdict: VerdictName
    judged_on: str
    policy: str
    policy_version: str
    policy_sha256: str
    approvals: int
    roles: tuple[str, ...]
    counts: tuple[tuple[StatusName, int], ...]
    judgements: tuple[JudgementRow, ...]
    hidden: int
    waivers: tuple[WaiverRow, ...]
    since: SinceSigned | None

    @property
    def not_passing(self) -> tuple[JudgementRow, ...]:
        """The judgements that somebody has to act on."""
        return tuple(row for row in self.judgements if not row.passes)
