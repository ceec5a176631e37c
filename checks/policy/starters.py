"""The starter policies that ship, and which of their rules an audit can use from the first run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from corpus_audit.schemas.spec.policy import Rule
from corpus_audit.schemas.spec.policy_file import SCHEMA_PATH, read_policy

FOLDER = Path(__file__).parent / "starter_policies"

STARTERS = ("scheduled-audit", "pretraining-signoff")
"""Of corpora of text."""

IMAGE_STARTER = "image-audit"
"""Of corpora of images."""

ALL_STARTERS = (*STARTERS, IMAGE_STARTER)


def starter_path(name: str) -> Path:
    """Where a starter policy lies, all its rules in force."""
    assert name in ALL_STARTERS
    return FOLDER / f"{name}.yaml"


def starter_text(name: str, *, baseline: bool, benchmarks: bool, signed: bool = False) -> str:
    """A starter policy for an audit; rules that it cannot satisfy yet are there as comments, to be put in force later.

    Args:
        name: one of `ALL_STARTERS`.
        baseline: whether the audit names a baseline.
        benchmarks: whether it names benchmarks.
        signed: whether there is a signed run in its output folder; a new audit has none, a test's has.
    """
    data = starter_path(name).read_bytes()
    loaded = read_policy(data, name)
    lines = data.decode().splitlines()
    there = {"baseline": baseline, "benchmarks": benchmarks, "signed": signed}
    ends = [*loaded.rule_lines[1:], len(lines) + 1]
    for rule, start, end in zip(loaded.policy.rules, loaded.rule_lines, ends, strict=True):
        if all(there[what] for what in _needs(rule)):
            continue
        for number in range(start - 1, end - 1):
            if lines[number].startswith(("  - ", "    ")):
                lines[number] = "  #" + lines[number][2:]
    return "\n".join([f"# yaml-language-server: $schema={SCHEMA_PATH.as_posix()}", *lines]) + "\n"


def _needs(rule: Rule) -> Iterator[str]:
    """What a run has to have for a rule to be judged."""
    if rule.slice.startswith("baseline=") or (rule.reference is not None and rule.reference.kind == "pinned"):
        yield "baseline"
    if rule.metric.startswith(("contamination_", "image_contamination_")):
        yield "benchmarks"
    if rule.reference is not None and rule.reference.kind == "last_signed":
        yield "signed"
