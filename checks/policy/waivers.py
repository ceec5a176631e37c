"""Waivers: which failures are accepted today, and which waivers hold no longer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

from corpus_audit.checks.policy.bounds import Figure, certainty
from corpus_audit.checks.text.wording import bound_text
from corpus_audit.schemas.run.results import Judgement, Status, WaiverUse
from corpus_audit.schemas.spec.policy import Waiver

State = Literal["used", "unused", "expired", "void"]


def apply_waivers(
    judgements: Sequence[Judgement], waivers: Sequence[Waiver], lines: Sequence[int], today: date
) -> tuple[list[Judgement], tuple[WaiverUse, ...]]:
    """The judgements after waivers, and what became of every waiver.

    A waiver covers one failing slice of one rule, from the day it was made to the day it expires, and only while the
    judged figure stays in its range. Integrity rules are out of reach. A waiver under which nothing fails is a warning
    of its own: it should be taken out of the policy.

    Args:
        judgements: all of them, before waivers.
        waivers: of the policy.
        lines: where each waiver stands in it.
        today: the day against which they are held.
    """
    after = list(judgements)
    places = {(one.rule, one.slice): n for n, one in enumerate(judgements) if one.kind == "rule"}
    uses = []
    for waiver, line in zip(waivers, lines, strict=True):
        place = places.get((waiver.rule, waiver.slice))
        failing = None if place is None or judgements[place].status is not Status.FAIL else judgements[place]
        state, why = _state(waiver, failing, today)
        uses.append(_use(waiver, state, line))
        if failing is None:
            after.append(_superfluous(waiver, line, why))
        elif state == "used" and place is not None:
            status, reason = Status.WAIVED, f"{failing.reason} {why}"
            after[place] = failing.model_copy(update={"status": status, "reason": reason, "waiver": waiver.id})
        elif place is not None:
            after[place] = failing.model_copy(update={"reason": f"{failing.reason} {why}"})
    return after, tuple(uses)


def _state(waiver: Waiver, failing: Judgement | None, today: date) -> tuple[State, str]:
    if today > date.fromisoformat(waiver.expires):
        return "expired", f"Waiver {waiver.id} expired on {waiver.expires}."
    if failing is None:
        return "unused", f"Nothing fails that waiver {waiver.id} covers."
    if today < date.fromisoformat(waiver.created):
        return "void", f"Waiver {waiver.id} holds from {waiver.created} on, not before."
    bound = waiver.holds_while.bound
    figure = None if failing.observed is None else Figure(failing.observed, None, None)
    if figure is None or certainty(figure, bound, "value") != "within":
        unit = failing.compared_unit
        return "void", f"Waiver {waiver.id} is void: it holds for {bound_text(bound, unit)}."
    return "used", f"Waived by {waiver.id} until {waiver.expires} ({waiver.ticket})."


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
