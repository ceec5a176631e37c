"""Two policies compared: which rules, bounds and waivers got weaker or stronger, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from corpus_audit.checks.policy.basis import Judging
from corpus_audit.checks.policy.sentences import outside, unit_of
from corpus_audit.schemas.run.results import Insufficient
from corpus_audit.schemas.spec.policy import Policy, Range, Rule, Waiver

Direction = Literal["weaker", "stronger", "changed"]


@dataclass(frozen=True)
class Change:
    """One difference; ``weaker``: something passes now that did not before, ``changed``: neither is certain."""

    direction: Direction
    where: str
    text: str


def policy_changes(before: Policy, after: Policy) -> list[Change]:
    """Every difference that bears on a verdict or on a sign-off; what got weaker comes first."""
    changes = [*_rules(before, after), *_waivers(before, after), *_demands(before, after)]
    order = ("weaker", "changed", "stronger")
    return sorted(changes, key=lambda change: order.index(change.direction))


def _rules(before: Policy, after: Policy) -> Iterator[Change]:
    old, new = ({rule.id: rule for rule in policy.rules} for policy in (before, after))
    for id_ in sorted(old.keys() - new.keys()):
        yield Change("weaker", id_, f"the rule is gone ({old[id_].title})")
    for id_, rule in new.items():
        if id_ not in old:
            yield Change("stronger", id_, f"the rule is new ({rule.title})")
        elif old[id_] != rule:
            yield from _rule(old[id_], rule)


def _rule(old: Rule, new: Rule) -> Iterator[Change]:
    if (old.metric, old.slice) != (new.metric, new.slice):
        yield Change("changed", new.id, f"judges {new.metric} of {new.slice} instead of {old.metric} of {old.slice}")
    if old.reference != new.reference:
        yield Change("changed", new.id, "is compared with another reference, or in another way")
    unit = unit_of(new)
    for name, was, now in (("fails", old.fail, new.fail), ("warns", old.warn, new.warn)):
        yield from _bounds(new.id, name, was, now, unit)
    if old.judged != new.judged:
        change = _strictness(new) - _strictness(old)
        direction: Direction = "changed" if change == 0 else "stronger" if change > 0 else "weaker"
        yield Change(direction, new.id, f"judges {_judged(new)} instead of {_judged(old)}")
    if old.insufficient != new.insufficient:
        before, after = (rule.insufficient or "what the policy says" for rule in (old, new))
        direction = _stricter(old.insufficient, new.insufficient)
        yield Change(direction, new.id, f"not enough data: {after} instead of {before}")
    if old.minimum_n != new.minimum_n:
        direction = "stronger" if new.minimum_n > old.minimum_n else "weaker"
        yield Change(direction, new.id, f"needs n of {new.minimum_n:,} instead of {old.minimum_n:,}")


def _bounds(id_: str, name: str, was: Range | None, now: Range | None, unit: str) -> Iterator[Change]:
    if was == now:
        return
    if was is None or now is None:
        direction: Direction = "stronger" if was is None else "weaker"
        text = f"{name} {outside(now, unit)}, which it did not" if now else f"{name} no longer"
        yield Change(direction, id_, text)
        return
    moves = {_move(was.maximum, now.maximum, 1), _move(was.minimum, now.minimum, -1)} - {0}
    direction = "changed" if len(moves) > 1 else "weaker" if moves == {1} else "stronger"
    yield Change(direction, id_, f"{name} {outside(now, unit)} instead of {outside(was, unit)}")


def _move(was: float | None, now: float | None, wider: int) -> int:
    """1 if an end of a range moved outwards or fell away, -1 if inwards; ``wider``: the sign of outwards."""
    if was == now:
        return 0
    if now is None or was is None:
        return 1 if now is None else -1
    return wider if now > was else -wider


def _strictness(rule: Rule) -> int:
    """How much ``judged`` lets pass, 0 the most: for a maximum the lower bound does, for a minimum the upper one."""
    ranges = [range_ for range_ in (rule.fail, rule.warn) if range_ is not None]
    maximum, minimum = (any(getattr(range_, end) is not None for range_ in ranges) for end in ("maximum", "minimum"))
    which, _ = Judging().figure(rule)
    if which == "interval":
        return 2
    if which == "value" or (maximum and minimum):
        return 1
    return 2 if (which == "high") == maximum else 0


def _judged(rule: Rule) -> str:
    which, _ = Judging().figure(rule)
    return f"the {which}, as 'auto' means for {rule.metric}," if rule.judged == "auto" else f"the {which}"


_DEMANDS: tuple[Insufficient, ...] = ("pass", "warn", "none")


def _stricter(was: Insufficient | None, now: Insufficient | None) -> Direction:
    """Which way a change of ``insufficient`` goes; a key that is left out says nothing by itself."""
    if was is None or now is None:
        return "changed"
    return "stronger" if _DEMANDS.index(now) > _DEMANDS.index(was) else "weaker"


def _waivers(before: Policy, after: Policy) -> Iterator[Change]:
    old, new = ({waiver.id: waiver for waiver in policy.waivers} for policy in (before, after))
    for id_ in sorted(old.keys() - new.keys()):
        yield Change("stronger", f"waiver {id_}", f"is gone: rule {old[id_].rule} ({old[id_].slice}) may fail no more")
    for id_, waiver in new.items():
        if id_ not in old:
            yield Change(
                "weaker",
                f"waiver {id_}",
                f"is new: rule {waiver.rule} ({waiver.slice}) may fail until {waiver.expires}",
            )
        elif old[id_] != waiver:
            units = {rule.id: unit_of(rule) for rule in after.rules}
            yield from _waiver(old[id_], waiver, units.get(waiver.rule, ""))


def _waiver(old: Waiver, new: Waiver, unit: str) -> Iterator[Change]:
    where = f"waiver {new.id}"
    if (old.rule, old.slice) != (new.rule, new.slice):
        yield Change("changed", where, f"covers {new.rule} ({new.slice}) instead of {old.rule} ({old.slice})")
    if old.expires != new.expires:
        direction: Direction = "weaker" if new.expires > old.expires else "stronger"
        yield Change(direction, where, f"expires on {new.expires} instead of {old.expires}")
    yield from (
        Change(change.direction, where, change.text.replace("void", "is void", 1))
        for change in _bounds(new.id, "void", old.holds_while, new.holds_while, unit)
    )
    if (old.owner, old.approved_by, old.ticket, old.created) != (new.owner, new.approved_by, new.ticket, new.created):
        yield Change("changed", where, "owner, approver, ticket or day of making changed")


def _demands(before: Policy, after: Policy) -> Iterator[Change]:
    for key, text in (("whole", "the whole corpus has to be read"), ("manifest", "a manifest is needed")):
        was, now = getattr(before.coverage, key), getattr(after.coverage, key)
        if was != now:
            yield Change("stronger" if now else "weaker", "coverage", text + ("" if now else " no longer"))
    if before.insufficient != after.insufficient:
        direction = _stricter(before.insufficient, after.insufficient)
        yield Change(
            direction, "insufficient", f"not enough data: {after.insufficient} instead of {before.insufficient}"
        )
    was, now = before.approvals.required, after.approvals.required
    if was != now:
        yield Change(
            "stronger" if now > was else "weaker", "approvals", f"{now} people instead of {was} have to approve"
        )
    for role in sorted(set(before.approvals.roles) ^ set(after.approvals.roles)):
        came = role in after.approvals.roles
        yield Change(
            "stronger" if came else "weaker", "approvals", f"role {role} has to approve{'' if came else ' no longer'}"
        )
