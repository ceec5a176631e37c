"""By which figure a rule judges: facts of a corpus that was read whole by their value, the rest by intervals."""

from __future__ import annotations

from dataclasses import dataclass

from corpus_audit.checks.policy.metric_catalogue import KNOWN
from corpus_audit.schemas.run.results import FORMAT, FORMAT_1, Format, Insufficient, Judged
from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.spec.policy import Policy, Rule
from corpus_audit.schemas.tables.metric_declarations import Kind

OF_THE_SOURCE = "what a corpus from the same source would vary by"
"""What the interval beside an exact figure says, in the words of the report."""

_WHOLE = "a fact of a corpus that was read whole, so it has no sampling error"
_BECAUSE: dict[Kind, str] = {
    "fact": "only a sample of the corpus was read",
    "estimate": "an estimate from a sample that the audit draws",
    "drift": "a test whether the snapshots differ by more than chance",
    "finding": "a count among the findings and files of an investigation",
    "effect": "an estimate from the points or items that the investigation has",
}


@dataclass(frozen=True)
class Judging:
    """How the rules of a policy are applied to a run.

    Attributes:
        sampled: whether only a part of the corpus was read.
        insufficient: what a rule without enough data means for the verdict, if it does not say.
        version: of the results; of version 1 rules are applied as the releases did that wrote it.
    """

    sampled: bool = False
    insufficient: Insufficient = "warn"
    version: Format = FORMAT

    @classmethod
    def of(cls, policy: Policy, facts: RunFile, version: Format = FORMAT) -> Judging:
        """How a policy judges a run."""
        return cls(was_sampled(facts), policy.insufficient, version)

    def figure(self, rule: Rule) -> tuple[Judged, str]:
        """The figure that is compared with the bounds of a rule, and why; the reason is empty in version 1."""
        if self.version == FORMAT_1:
            return ("interval" if rule.judged == "auto" else rule.judged), ""
        if rule.judged != "auto":
            return rule.judged, "the rule says so"
        kind = KNOWN[rule.metric].kind if rule.metric in KNOWN else "estimate"
        if kind == "fact" and not self.sampled:
            return "value", _WHOLE
        if kind == "finding":
            return "value", _BECAUSE[kind]
        return "interval", _BECAUSE[kind]

    def effect(self, rule: Rule) -> Insufficient:
        """What a rule without enough data means for the verdict."""
        return "none" if self.version == FORMAT_1 else rule.insufficient or self.insufficient


def was_sampled(facts: RunFile) -> bool:
    """Whether only a part of the splits was read, by ``sample:`` or for any other reason."""
    return facts.coverage.sampled or facts.coverage.splits_counted != facts.coverage.splits


def has_no_interval(rule: Rule) -> bool:
    """Whether a rule's metric never has 95 % bounds."""
    return rule.metric in KNOWN and KNOWN[rule.metric].bounds == "none"
