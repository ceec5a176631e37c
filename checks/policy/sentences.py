"""A policy's rules in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from corpus_audit.checks.policy.basis import Judging
from corpus_audit.checks.policy.metric_catalogue import KNOWN
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.wording import figure
from corpus_audit.schemas.run.results import Insufficient
from corpus_audit.schemas.spec.policy import Policy, Range, ReferenceSpec, Rule
from corpus_audit.schemas.spec.slices import Pattern


def unit_of(rule: Rule) -> str:
    """The unit of what is compared with the rule's bounds."""
    if rule.reference is not None and rule.reference.compare != "difference":
        return ""
    return KNOWN[rule.metric].unit if rule.metric in KNOWN else ""


def outside(range_: Range, unit: str) -> str:
    """Where a figure lies that is outside of a range: ``above 5 %``, ``below 1 or above 3``."""
    ends = []
    if range_.minimum is not None:
        ends.append(f"below {figure(range_.minimum, unit)}")
    if range_.maximum is not None:
        ends.append(f"above {figure(range_.maximum, unit)}")
    return " or ".join(ends)


def rule_sentences(rule: Rule) -> Iterator[str]:
    """What a rule means: what it looks at, when it fails, warns, and does not answer, and why it is there."""
    metric = KNOWN.get(rule.metric)
    meaning = f"{metric.meaning} ({rule.metric})" if metric else f"{rule.metric}, which no run has"
    each = "" if Pattern(rule.slice).is_exact else "each "
    where = "" if rule.slice == "all" else f" of {each}{rule.slice}"
    yield f"Looks at: {meaning}{where}{_compared(rule.reference)}."
    unit = unit_of(rule)
    which, because = Judging().figure(rule)
    what = {
        "interval": "the whole 95 % interval is",
        "value": "the value is",
        "low": "the lower 95 % bound is",
        "high": "the upper 95 % bound is",
    }[which]
    if rule.fail is not None:
        yield f"Fails if {what} {outside(rule.fail, unit)}."
    if rule.warn is not None:
        also = ", or may be" if which == "interval" else ""
        yield f"Warns if {what} {outside(rule.warn, unit)}{also}."
    if which == "interval" and rule.fail is not None:
        yield "If the interval reaches across the fail bound, there is not enough data to tell."
    if rule.judged == "auto":
        sampled = " In a sampled audit it is judged by its interval." if which == "value" else ""
        yield f"Judged by the {which}: it is {because}.{sampled}"
    if rule.insufficient is not None:
        yield f"Without enough data it {_EFFECTS[rule.insufficient]}."
    if rule.minimum_n > 1:
        unless = ", unless both snapshots hold the same documents" if "baseline=" in rule.slice else ""
        yield f"Needs n of at least {grouped(rule.minimum_n)}{unless}."
    yield f"Because: {rule.rationale.strip().rstrip('.')}. Owner: {rule.owner}."


_EFFECTS: dict[Insufficient, str] = {
    "pass": "passes",
    "warn": "warns",
    "none": "leaves the run without a verdict",
}


def _compared(reference: ReferenceSpec | None) -> str:
    if reference is None:
        return ""
    named = reference.run or ""
    of = {
        "pinned": "the audit's baseline" if named.startswith("baseline") else f"run {named}",
        "last_signed": "the last signed run",
        "band": f"the median of the last {plural(reference.band_runs, 'run')}",
    }[reference.kind]
    how = {"difference": "less that in", "ratio": "divided by that in", "spread": "in robust deviations from"}
    return f", {how[reference.compare]} {of}"


def policy_sentences(policy: Policy) -> Iterator[str]:
    """What a policy asks for besides its rules."""
    if policy.coverage.whole:
        yield "The whole corpus has to be read: a sampled audit does not pass."
    else:
        yield "A sampled audit may be judged."
    if policy.coverage.manifest:
        yield "The shards have to be compared with a manifest."
    yield f"A rule without enough data {_EFFECTS[policy.insufficient]}, unless the rule says otherwise."
    roles = f", among them {', '.join(policy.approvals.roles)}" if policy.approvals.roles else ""
    people = "1 person" if policy.approvals.required == 1 else f"{grouped(policy.approvals.required)} people"
    yield f"A sign-off needs approval by {people}{roles}."
    for waiver in policy.waivers:
        yield (
            f"Waiver {waiver.id}: rule {waiver.rule} ({waiver.slice}) may fail, or not have enough data, until "
            f"{waiver.expires}; approved by {waiver.approved_by}."
        )
