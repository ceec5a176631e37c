"""Waivers: which failures are accepted today, and which waivers are no longer in force."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

from corpus_audit.checks.policy.bounds import Figure, certainty
from corpus_audit.checks.text.wording import bound_text
from corpus_audit.schemas.run.results import FORMAT, FORMAT_1, Format, Judgement, Status, Verdict, WaiverUse
from corpus_audit.schemas.spec.policy import Waiver

State = Literal["used", "unused", "expired", "void"]


def apply_waivers(
    judgements: Sequence[Judgement],
    waivers: Sequence[Waiver],
    lines: Sequence[int],
    today: date,
    version: Format = FORMAT,
) -> tuple[list[Judgement], tuple[WaiverUse, ...]]:
    """The judgements after waivers, and what became of every waiver.

    A waiver covers one slice of one rule that fails or does not have enough data, from the day it was made to the day
    it expires, and only while the judged figure stays in its range. Without enough data there may be no figure; the
    waiver then covers that. Integrity rules are out of reach. A waiver that covers nothing is a warning of its own: it
    should be taken out of the policy.

    Args:
        judgements: all of them, before waivers.
        waivers: of the policy.
        lines: where each waiver stands in it.
        today: the day on which they have to be in force.
        version: of the results; in version 1 waivers cover failures only.
    """
    after = list(judgements)
    positions = {(each.rule, each.slice): n for n, each in enumerate(judgements) if each.kind == "rule"}
    uses = []
    for waiver, line in zip(waivers, lines, strict=True):
        position = positions.get((waiver.rule, waiver.slice))
        covered = None if position is None or not _coverable(judgements[position], version) else judgements[position]
        state, why = _state(waiver, covered, today)
        uses.append(_use(waiver, state, line))
        if covered is None:
            after.append(_superfluous(waiver, line, why))
        elif state == "used" and position is not None:
            status, reason = Status.WAIVED, f"{covered.reason} {why}"
            after[position] = covered.model_copy(update={"status": status, "reason": reason, "waiver": waiver.id})
        elif position is not None:
            after[position] = covered.model_copy(update={"reason": f"{covered.reason} {why}"})
    return after, tuple(uses)


def _coverable(judgement: Judgement, version: Format) -> bool:
    """Whether a waiver can cover a judgement: it fails, or does not have enough data and does not pass for that."""
    if judgement.status is Status.INSUFFICIENT:
        return version != FORMAT_1 and judgement.effect is not Verdict.PASS
    return judgement.status is Status.FAIL


def _state(waiver: Waiver, covered: Judgement | None, today: date) -> tuple[State, str]:
    if today > date.fromisoformat(waiver.expires):
        return "expired", f"Waiver {waiver.id} expired on {waiver.expires}."
    if covered is None:
        return "unused", f"Waiver {waiver.id} covers nothing: no failure, and no lack of data."
    if today < date.fromisoformat(waiver.created):
        return "void", f"Waiver {waiver.id} is in force from {waiver.created} on, not before."
    bound, value = waiver.holds_while.bound, waived_figure(covered)
    no_figure = value is None and covered.status is Status.INSUFFICIENT
    if not no_figure and (value is None or certainty(Figure(value, None, None), bound, "value") != "within"):
        unit = covered.compared_unit
        return "void", f"Waiver {waiver.id} is void: it is in force for {bound_text(bound, unit)}."
    return "used", f"Waived by {waiver.id} until {waiver.expires} ({waiver.ticket})."


def waived_figure(judgement: Judgement) -> float | None:
    """The figure that has to stay in a waiver's range: the judged bound, or the observed value."""
    return judgement.observed if judgement.judged_value is None else judgement.judged_value


def _superfluous(waiver: Waiver, line: int, why: str) -> Judgement:
    return Judgement(
        rule=f"waiver:{waiver.id}",
        kind="rule",
        title=f"Waiver {waiver.id} covers nothing",
        slice=waiver.slice,
        status=Status.WARN,
        reason=f"{why} It is for rule {waiver.rule}.",
        owner=waiver.owner,
        next_step="Take the waiver out of the policy.",
        line=line,
    )


def _use(waiver: Waiver, state: State, line: int) -> WaiverUse:
    return WaiverUse(
        id=waiver.id,
        rule=waiver.rule,
        slice=waiver.slice,
        state=state,
        reason=waiver.reason,
        ticket=waiver.ticket,
        owner=waiver.owner,
        approved_by=waiver.approved_by,
        expires=waiver.expires,
        holds_while=waiver.holds_while.bound,
        line=line,
    )
