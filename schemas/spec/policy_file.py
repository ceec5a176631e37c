"""Reads ``policy.yaml`` into a `Policy`; every mistake is reported with file, line and column, all of them at once.

``python -m corpus_audit.schemas.spec.policy_file`` prints the JSON Schema that editors use (`policy.schema.json`).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from corpus_audit.schemas.run.results import POLICY_FILE, PolicyFacts
from corpus_audit.schemas.spec.policy import RESERVED, Policy
from corpus_audit.schemas.spec.slices import Pattern
from corpus_audit.schemas.yaml import yaml_tree
from corpus_audit.schemas.yaml.structure import located, schema_of, schema_text, validated
from corpus_audit.schemas.yaml.yaml_tree import Mapping, Problem, Sequence, Tree

SCHEMA_PATH = Path(__file__).with_name("policy.schema.json")
"""The JSON Schema of the policy, as an editor's YAML language server reads it."""


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A valid policy and where it came from.

    Attributes:
        policy: what the file says.
        data: its bytes.
        base: the folder against which its relative paths resolve; None for a policy that is no file.
        rule_lines, waiver_lines: where each rule and waiver stands, counted from 1.
        coverage_line: where ``coverage:`` stands; None if it is left out.
        tree: the file's values with their lines and columns.
    """

    policy: Policy
    data: bytes
    base: Path | None
    rule_lines: tuple[int, ...]
    waiver_lines: tuple[int, ...]
    coverage_line: int | None
    tree: Mapping = field(repr=False, compare=False)

    @property
    def sha256(self) -> str:
        """Digest of the file's bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def facts(self) -> PolicyFacts:
        """What results.json says of it."""
        approvals = self.policy.approvals
        return PolicyFacts(
            name=self.policy.name,
            version=str(self.policy.version),
            sha256=self.sha256,
            approvals=approvals.required,
            roles=approvals.roles,
        )


def load_policy(path: Path) -> LoadedPolicy:
    """Read and check a policy file.

    Raises:
        SpecError: it cannot be read or is wrong; one line a mistake, ``file:line:column: what is wrong``.
    """
    hint = "there is no such file; 'corpus-audit init' offers starter policies"
    return read_policy(yaml_tree.read_file(path, hint), str(path), path.absolute().parent)


def read_policy(data: bytes, source: str = POLICY_FILE, base: Path | None = None) -> LoadedPolicy:
    """A policy from the bytes of its file; ``source`` is what messages call it.

    Raises:
        SpecError: it is wrong.
    """
    tree, problems = yaml_tree.parse(data, source)
    if not isinstance(tree, Mapping):
        raise yaml_tree.fail([*problems, Problem(tree.mark, "expected a mapping of keys such as name, rules")])
    policy = validated(tree, Policy, problems)
    wrong = [Problem(located(tree, path), message) for path, message in _contradictions(policy)]
    if wrong:
        raise yaml_tree.fail(wrong)
    coverage = tree.keys.get("coverage")
    return LoadedPolicy(
        policy,
        data,
        base,
        _lines(tree.items["rules"]),
        _lines(tree.items["waivers"]) if "waivers" in tree.items else (),
        coverage.line if coverage else None,
        tree,
    )


def _lines(tree: Tree) -> tuple[int, ...]:
    return tuple(item.mark.line for item in tree.items) if isinstance(tree, Sequence) else ()


def _contradictions(policy: Policy) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong between parts of the policy: (path of keys, message)."""
    rules: dict[str, int] = {}
    for number, rule in enumerate(policy.rules):
        if rule.id in rules:
            yield ("rules", number, "id"), f"the id {rule.id!r} is that of rule {rules[rule.id] + 1} too"
        rules.setdefault(rule.id, number)
    waivers: set[str] = set()
    covered: set[tuple[str, str]] = set()
    for number, waiver in enumerate(policy.waivers):
        if waiver.id in waivers:
            yield ("waivers", number, "id"), f"two waivers have the id {waiver.id!r}"
        waivers.add(waiver.id)
        if waiver.rule in RESERVED:
            yield ("waivers", number, "rule"), f"{waiver.rule} is an integrity rule, and those cannot be waived"
        elif waiver.rule not in rules:
            near = get_close_matches(waiver.rule, list(rules), 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            yield ("waivers", number, "rule"), f"there is no rule {waiver.rule!r}{hint}"
        elif not Pattern(policy.rules[rules[waiver.rule]].slice).matches(waiver.slice):
            pattern = policy.rules[rules[waiver.rule]].slice
            yield ("waivers", number), f"rule {waiver.rule} judges {pattern!r}, which does not name {waiver.slice!r}"
        if (waiver.rule, waiver.slice) in covered:
            yield ("waivers", number), f"two waivers are for rule {waiver.rule} and slice {waiver.slice!r}"
        covered.add((waiver.rule, waiver.slice))


def json_schema() -> dict[str, Any]:
    """The policy's JSON Schema (draft 2020-12), for editors and other tools."""
    return schema_of(Policy, "corpus-audit: policy.yaml")


def json_schema_text() -> str:
    """`json_schema` as the text of `SCHEMA_PATH`."""
    return schema_text(json_schema())


if __name__ == "__main__":
    sys.stdout.write(json_schema_text())
