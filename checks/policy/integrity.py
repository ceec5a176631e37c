"""Rules that every run has to meet whatever the policy says, and what the policy asks of coverage."""

from __future__ import annotations

from collections.abc import Iterator

from corpus_audit.schemas.run.results import REQUIRED_MANIFEST, REQUIRED_WHOLE, Judgement, Status
from corpus_audit.schemas.run.run_file import RunCoverage, RunFile
from corpus_audit.schemas.spec.policy import INTEGRITY_RULES, CoverageSpec

TITLES = {
    "coverage": "Every shard was read",
    "conservation": "Every row is accounted for",
    "digests": "Every shard has a digest",
    "tokenizer_verification": "Token counts agree with the reference tokenizer",
    "dead_letter_budget": "Bad rows are within the budget",
    "shard_loss": "No shard lost a large part of its rows",
    "unread_files": "No file that may be data was left unread",
    "contamination_self_check": "The contamination scan finds what was planted",
}

_SINCE_LISTING = ("shard_loss", "unread_files")
"""Rules that came together with the key ``listing`` of run.json: runs of earlier versions have neither."""

_NEXT = "Nothing can be judged before this holds: see the report's section on coverage, and run the audit again."


def integrity_judgements(facts: RunFile, wanted: CoverageSpec, line: int | None) -> Iterator[Judgement]:
    """Judgements of the integrity rules of a run.

    A rule that is broken means no verdict (``error``), as does one that run.json does not speak of (``missing``).

    Args:
        facts: contents of run.json.
        wanted: what the policy asks of coverage.
        line: where the policy asks for it.
    """
    rules = {rule.check: rule for rule in facts.integrity}
    needed = [name for name in INTEGRITY_RULES if name not in ("contamination_self_check", *_SINCE_LISTING)]
    if facts.listing is not None:
        needed += _SINCE_LISTING
    if facts.spec.get("benchmarks"):
        needed.append("contamination_self_check")
    statuses = []
    for name in (*needed, *(name for name in rules if name not in needed)):
        if name not in rules:
            status, reason = Status.MISSING, "run.json does not say whether it holds."
        else:
            status = Status.PASS if rules[name].holds else Status.ERROR
            reason = _sentence(rules[name].detail)
        statuses.append(status)
        yield _judgement(name, TITLES.get(name, name), status, reason)
    if not facts.complete and all(status is Status.PASS for status in statuses):
        yield _judgement("complete", "The run is complete", Status.ERROR, "run.json says that the run is incomplete.")
    if wanted.whole:
        status, reason = _whole(facts.coverage)
        yield _judgement(REQUIRED_WHOLE, "The whole corpus was read", status, reason, line)
    if wanted.manifest:
        compared = facts.coverage.manifest
        reason = (
            "The shards were compared with a manifest." if compared else "The audit names no manifest of its shards."
        )
        status = Status.PASS if compared else Status.MISSING
        yield _judgement(REQUIRED_MANIFEST, "Shards were compared with a manifest", status, reason, line)


def _whole(coverage: RunCoverage) -> tuple[Status, str]:
    splits, counted = coverage.splits, coverage.splits_counted
    if counted != splits or coverage.sampled:
        return Status.INSUFFICIENT, f"{counted:,} of {splits:,} splits were read."
    return Status.PASS, f"All {splits:,} splits were read." if splits != 1 else "The one split was read."


def _judgement(rule: str, title: str, status: Status, reason: str, line: int | None = None) -> Judgement:
    return Judgement(
        rule=rule,
        kind="integrity",
        title=title,
        status=status,
        reason=reason,
        next_step="" if status is Status.PASS else _NEXT,
        line=line,
    )


def _sentence(text: str) -> str:
    text = text.strip() or "run.json does not say why"
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
