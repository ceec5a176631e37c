"""Policies as people write them: what is wrong is said with line and column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpus_audit.schemas.errors import ExitCode, SpecError
from corpus_audit.schemas.spec.policy_file import SCHEMA_PATH, json_schema_text, load_policy, read_policy

HEAD = "name: p\nversion: 1\nrules:\n"
RULE = "- id: r\n  title: T\n  metric: m\n  fail: {maximum: 1e-6}\n  owner: ann\n  rationale: R\n"  # lines 4 to 9
WAIVER = (
    "waivers:\n- id: W\n  rule: r\n  holds_while: {maximum: 0.1}\n  reason: R\n  ticket: T\n  owner: ann\n"
    "  approved_by: bob\n  created: 2026-11-01\n  expires: 2026-12-31\n"  # lines 10 to 19
)
GOOD = HEAD + RULE + WAIVER + "coverage: {whole: false, manifest: true}\napprovals: {required: 2, roles: [owner]}\n"

BAD: dict[str, tuple[str, str]] = {
    "empty": ("", "1:1: the file is empty"),
    "a list": ("- a\n", "1:1: expected a mapping"),
    "not YAML": (HEAD + RULE + "  x: [\n", "11:1: not valid YAML"),
    "no rules": ("name: p\nversion: 1\n", "1:1: missing key 'rules'"),
    "no rule": ("name: p\nversion: 1\nrules: []\n", "3:8: needs at least 1 entry"),
    "unknown key": (GOOD + "rule: 1\n", "22:1: unknown key 'rule' (did you mean 'rules'?)"),
    "unknown key in a rule": (HEAD + RULE + "  treshold: 1\n", "10:3: unknown key 'treshold'"),
    "near key in a rule": (HEAD + RULE + "  minimun_n: 1\n", "10:3: unknown key 'minimun_n' (did you mean"),
    "key in other case": (HEAD + RULE + "  Warn: {}\n", "10:3: unknown key 'Warn' (did you mean 'warn'?)"),
    "duplicate key": (HEAD + RULE + "  owner: bob\n", "10:3: duplicate key 'owner' (first on line 8)"),
    "duplicate top key": (GOOD + "name: q\n", "22:1: duplicate key 'name' (first on line 1)"),
    "bound is text": (HEAD + RULE.replace("1e-6", "'0.1'"), "7:19: expected a number, found the text '0.1'"),
    "bound is NaN": (HEAD + RULE.replace("1e-6", ".nan"), "7:19: .nan is not a finite number"),
    "bound is infinite": (HEAD + RULE.replace("1e-6", ".inf"), "7:19: .inf is not a finite number"),
    "no end": (HEAD + RULE.replace("maximum: 1e-6", ""), "7:9: a range needs a minimum, a maximum or both"),
    "near end": (HEAD + RULE.replace("maximum", "maximun"), "7:10: unknown key 'maximun' (did you mean 'maximum'?)"),
    "ends crossed": (
        HEAD + RULE.replace("1e-6", "1, minimum: 2"), "7:9: the minimum 2 is above the maximum 1",
    ),
    "no bounds": (HEAD + RULE.replace("  fail: {maximum: 1e-6}\n", ""), "4:3: the rule has no bounds"),
    "warn beyond fail": (HEAD + RULE + "  warn: {maximum: 1}\n", "4:3: the maximum of warn (1) lies"),
    "judged": (HEAD + RULE + "  judged: lower\n", "10:11: expected one of 'auto', 'interval', 'value', 'low', 'high'"),
    "minimum_n of 0": (HEAD + RULE + "  minimum_n: 0\n", "10:14: must be at least 1, found 0"),
    "minimum_n is no integer": (HEAD + RULE + "  minimum_n: 1.5\n", "10:14: expected a whole number"),
    "an id with a space": (HEAD + RULE.replace("id: r", "id: a b"), "4:7: string should match pattern"),
    "an id that is taken": (HEAD + RULE + RULE, "10:7: the id 'r' is that of rule 1 too"),
    "an integrity rule's id": (HEAD + RULE.replace("id: r", "id: coverage"), "4:3: 'coverage' is the name of"),
    "no owner": (HEAD + RULE.replace("  owner: ann\n", ""), "4:3: missing key 'owner'"),
    "pinned without a run": (
        HEAD + RULE + "  reference: {kind: pinned, compare: ratio}\n", "10:14: kind pinned needs the key 'run'",
    ),
    "last_signed with a run": (
        HEAD + RULE + "  reference: {kind: last_signed, compare: ratio, run: x}\n", "10:14: kind last_signed has",
    ),
    "a spread of one run": (
        HEAD + RULE + "  reference: {kind: last_signed, compare: spread}\n", "10:14: compare: spread needs a band",
    ),
    "no comparison": (HEAD + RULE + "  reference: {kind: last_signed}\n", "10:14: missing key 'compare'"),
    "a band of two runs": (
        HEAD + RULE + "  reference: {kind: band, compare: ratio, runs: 2}\n", "10:49: must be at least 3, found 2",
    ),
    "a band that needs more than it has": (
        HEAD + RULE + "  reference: {kind: band, compare: ratio, runs: 4, minimum_runs: 5}\n", "10:14: minimum_runs 5",
    ),
    "waiver of no rule": (GOOD.replace("  rule: r\n", "  rule: rr\n"), "12:9: there is no rule 'rr' (did"),
    "waiver of an integrity rule": (
        GOOD.replace("  rule: r\n", "  rule: dead_letter_budget\n"), "12:9: dead_letter_budget is an integrity rule",
    ),
    "waiver of another slice": (
        GOOD.replace("  rule: r\n", "  rule: r\n  slice: domain=a\n"), "11:3: rule r judges 'all', which does not name",
    ),
    "waiver approved by its owner": (GOOD.replace("bob", " ANN"), "11:3: waiver W: owner and approved_by are the same"),
    "waiver of 91 days": (GOOD.replace("2026-12-31", "2027-01-31"), "11:3: waiver W holds for 91 days; at most 90"),
    "waiver that ends before": (GOOD.replace("2026-12-31", "2026-11-01"), "11:3: waiver W expires on the day"),
    "no such day": (GOOD.replace("2026-12-31", "2026-11-31"), "19:12: '2026-11-31' is not a date"),
    "a day in another order": (GOOD.replace("2026-12-31", "31.12.2026"), "19:12: '31.12.2026' is not a date"),
    "waiver without a bound": (
        GOOD.replace("  holds_while: {maximum: 0.1}\n", ""), "11:3: missing key 'holds_while'",
    ),
    "version": (GOOD.replace("version: 1", "version: 1.0"), "2:10: expected text or a whole number"),
    "coverage": (GOOD.replace("whole: false", "hole: false"), "20:12: unknown key 'hole' (did you mean 'whole'?)"),
    "approvals": (GOOD.replace("required: 2", "required: -1"), "21:23: must be at least 0, found -1"),
    "roles": (GOOD.replace("[owner]", "owner"), "21:33: expected a list (text each)"),
    "bound is true": (HEAD + RULE.replace("1e-6", "true"), "7:19: expected a number, found true"),
    "an object": (HEAD + RULE.replace("ann", "!!python/object:os.system x"), "8:10: tag !!python/object:os.system"),
}  # fmt: skip


SEVERAL = ("bound is NaN", "bound is infinite")
"""Cases with a second mistake that follows from the first."""


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 30


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_has_its_place(case: str, tmp_path: Path) -> None:
    text, message = BAD[case]
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_policy(path)
    assert caught.value.exit_code is ExitCode.USAGE
    lines = str(caught.value).replace(f"{path}:", "").split("\n")
    assert any(line.startswith(message) for line in lines), lines
    assert case in SEVERAL or len(lines) == 1, lines


def test_a_good_one_knows_where_things_stand(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD)
    loaded = load_policy(path)
    assert (loaded.rule_lines, loaded.waiver_lines, loaded.coverage_line) == ((4,), (11,), 20)
    rule = loaded.policy.rules[0]
    assert rule.fail is not None and rule.fail.maximum == 1e-6
    assert (rule.judged, rule.slice, rule.minimum_n) == ("auto", "all", 1)
    assert loaded.data == path.read_bytes() and loaded.base == tmp_path
    assert (loaded.facts.version, loaded.facts.approvals, loaded.facts.roles) == ("1", 2, ("owner",))


def test_a_missing_file_says_where_policies_come_from(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such file; 'corpus-audit init' offers"):
        load_policy(tmp_path / "policy.yaml")


def test_the_schema_for_editors_is_up_to_date() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == json_schema_text()


def test_json_is_yaml() -> None:
    assert read_policy(json.dumps({"name": "p", "version": "2", "rules": [
        {"id": "r", "title": "T", "metric": "m", "warn": {"minimum": 1}, "owner": "a", "rationale": "R"}
    ]}).encode()).policy.version == "2"  # fmt: skip
