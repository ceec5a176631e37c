"""``corpus-audit policy``: check, compare and explain policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import note, write_out

if TYPE_CHECKING:
    import pyarrow as pa

    from corpus_audit.pipelines.storage.run_directory import RunDirectory

run_option = click.option(
    "--run", "run", type=click.Path(path_type=Path), help="A finished run to check the policy against."
)


@click.group(short_help="Check, compare and explain policies.")
def policy() -> None:
    """Check, compare and explain the policies that judge runs."""


@policy.command(short_help="Check a policy for mistakes.")
@click.argument("file", type=click.Path(path_type=Path))
@run_option
@json_option
def check(file: Path, run: Path | None, as_json: bool) -> None:
    """Check the policy FILE for mistakes; warnings go to standard error.

    Invalid keys, types, bounds and waivers, and metrics that no run has, are mistakes: exit code 2.
    """
    from datetime import UTC, datetime

    from corpus_audit.checks.policy.check import doubts, mistakes
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.schemas.spec.policy_file import load_policy
    from corpus_audit.schemas.yaml import yaml_tree

    loaded = load_policy(file)
    wrong = mistakes(loaded)
    if wrong:
        raise yaml_tree.fail(wrong)
    metrics = None if run is None else _metrics(run)
    doubtful = [str(problem) for problem in doubts(loaded, datetime.now(UTC).date(), metrics)]
    rules, waivers = loaded.policy.rules, loaded.policy.waivers
    if as_json:
        payload = {"policy": str(file), "rules": len(rules), "waivers": len(waivers), "doubts": doubtful}
        emit_json("policy-check", payload | {"sha256": loaded.sha256})
        return
    for line in doubtful:
        note(line)
    write_out(f"{file}: {plural(len(rules), 'rule')}, {plural(len(waivers), 'waiver')}; sha256 {loaded.sha256}")


@policy.command(short_help="Compare two policies.")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@json_option
def diff(before: Path, after: Path, as_json: bool) -> None:
    """List the rules, bounds, waivers and approvals that are weaker or stronger in policy AFTER than in BEFORE."""
    from corpus_audit.checks.policy.diff import policy_changes
    from corpus_audit.checks.text.safe_text import safe_text
    from corpus_audit.schemas.spec.policy_file import load_policy

    changes = policy_changes(load_policy(before).policy, load_policy(after).policy)
    if as_json:
        rows = [{"change": change.direction, "where": change.where, "text": change.text} for change in changes]
        emit_json("policy-diff", {"changes": rows})
        return
    for change in changes:
        write_out(f"{change.direction:9} {safe_text(change.where, 90)}: {safe_text(change.text, 1000)}")
    if not changes:
        write_out("no difference that can change a verdict")


@policy.command(short_help="Explain rules and metrics in sentences.")
@click.argument("what")
@click.argument("rule", required=False)
@run_option
@json_option
def explain(what: str, rule: str | None, run: Path | None, as_json: bool) -> None:
    """Explain the rules of a policy in sentences, and with --run how they judge a run.

    WHAT is a policy file, a rule of ./policy.yaml, `metrics` (lists every metric) or the name of a metric. RULE is the
    rule of the file to explain; by default all rules.
    """
    from corpus_audit.checks.policy.metric_catalogue import KNOWN
    from corpus_audit.checks.policy.sentences import policy_sentences, rule_sentences
    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.run.results import POLICY_FILE
    from corpus_audit.schemas.spec.policy_file import load_policy
    from corpus_audit.schemas.tables.metric_declarations import SLICE_EXAMPLES

    if what == "metrics" or what in KNOWN:
        rows = [metric for name, metric in KNOWN.items() if what in ("metrics", name)]
        if as_json:
            emit_json("policy-metrics", {"metrics": [_metric_json(metric) for metric in rows]})
        else:
            for metric in rows:
                write_out(f"{metric.name}  [{metric.unit}]  {metric.meaning}; {SLICE_EXAMPLES[metric.slices]}")
        return
    if not Path(what).exists() and rule is None and Path(POLICY_FILE).is_file():
        what, rule = POLICY_FILE, what
    loaded = load_policy(Path(what))
    selected = [each for each in loaded.policy.rules if rule in (None, each.id)]
    if not selected:
        known = ", ".join(each.id for each in loaded.policy.rules)
        raise UsageError(f"{what} has no rule {rule!r}; its rules: {known}")
    judgements = {} if run is None else _judgements(loaded, run)
    if as_json:
        explained = [
            {
                "id": each.id,
                "title": each.title,
                "sentences": list(rule_sentences(each)),
                "judgements": judgements.get(each.id),
            }
            for each in selected
        ]
        emit_json("policy-explain", {"policy": what, "rules": explained, "also": list(policy_sentences(loaded.policy))})
        return
    for each in selected:
        _echo(f"{each.id}: {each.title}")
        for sentence in (*rule_sentences(each), *_judgement_lines(judgements.get(each.id, []))):
            _echo(sentence, "  ")
    if rule is None:
        write_out()
        for sentence in policy_sentences(loaded.policy):
            _echo(sentence)


def _echo(text: str, indent: str = "") -> None:
    import textwrap

    from corpus_audit.checks.text.safe_text import safe_text

    for line in textwrap.wrap(safe_text(text, 4000), 80 - len(indent)):
        write_out(indent + line)


def _judgement_lines(rows: list[dict[str, Any]]) -> list[str]:
    from corpus_audit.checks.text.numbers import plural

    shown = sorted(rows, key=lambda row: row["status"] == "pass")[:20]
    more = [f"and {plural(len(rows) - len(shown), 'more slice')}."] if len(rows) > len(shown) else []
    return [f"{row['status'].upper()} {row['slice']}: {row['reason']}" for row in shown] + more


def _judgements(loaded: Any, run: Path) -> dict[str, list[dict[str, Any]]]:
    """Rule id -> its judgement of every slice of a run."""
    from corpus_audit.checks.policy.judge import rows_by_slice, rule_judgements
    from corpus_audit.runners.audit.judge import references_of

    directory = _directory(run)
    by_rule: dict[str, list[dict[str, Any]]] = {}
    references = references_of(loaded, directory)
    rows = rows_by_slice(directory.table("metrics"), {rule.metric for rule in loaded.policy.rules})
    for rule, line in zip(loaded.policy.rules, loaded.rule_lines, strict=True):
        for judged in rule_judgements(rule, rows.get(rule.metric, {}), references.figures, line):
            shown = {"slice": judged.slice, "status": judged.status.value, "reason": judged.reason}
            by_rule.setdefault(rule.id, []).append(shown)
    return by_rule


def _metric_json(metric: Any) -> dict[str, str]:
    import dataclasses

    return dataclasses.asdict(metric)


def _directory(run: Path) -> RunDirectory:
    from corpus_audit.pipelines.storage.run_directory import RunDirectory
    from corpus_audit.runners.cli.shared.run_paths import resolve_run

    return RunDirectory(resolve_run(run))


def _metrics(run: Path) -> pa.Table:
    return _directory(run).table("metrics")
