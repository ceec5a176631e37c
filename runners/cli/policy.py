"""``corpus-audit policy``: check, compare, explain and suggest policies."""

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


@click.group(short_help="Check, compare, explain and suggest policies.")
def policy() -> None:
    """Check, compare, explain and suggest the policies that judge runs."""


@policy.command(short_help="Check a policy for mistakes.")
@click.argument("file", type=click.Path(path_type=Path))
@run_option
@json_option
def check(file: Path, run: Path | None, as_json: bool) -> None:
    """Check the policy FILE for mistakes; warnings go to standard error.

    Invalid keys, types, bounds and waivers, and metrics that no run has, are mistakes: exit code 2. With --run, also
    list what the run measured and no rule judges, and print rules to paste for it.
    """
    from datetime import UTC, datetime

    from corpus_audit.checks.policy.check import changed_meaning, doubts, mistakes
    from corpus_audit.checks.policy.not_judged import lines, not_judged
    from corpus_audit.checks.policy.proposals import proposed_rules
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.schemas.spec.policy_file import load_policy
    from corpus_audit.schemas.yaml import yaml_tree

    loaded = load_policy(file)
    wrong = mistakes(loaded)
    if wrong:
        raise yaml_tree.spec_error(wrong)
    metrics = None if run is None else _metrics(run)
    problems = doubts(loaded, datetime.now(UTC).date(), metrics)
    if run is not None and _is_of_version_1(run):
        problems += changed_meaning(loaded)
    doubtful = [str(problem) for problem in problems]
    rules, waivers = loaded.policy.rules, loaded.policy.waivers
    without = () if metrics is None else not_judged(loaded.policy, metrics)
    proposal = proposed_rules(without, {rule.id for rule in rules})
    if as_json:
        payload = {"policy": str(file), "rules": len(rules), "waivers": len(waivers), "doubts": doubtful}
        more = {"not_judged": [entry.model_dump(mode="json") for entry in without], "proposed_rules": proposal}
        emit_json("policy-check", payload | more | {"sha256": loaded.sha256})
        return
    for line in doubtful:
        note(line)
    write_out(f"{file}: {plural(len(rules), 'rule')}, {plural(len(waivers), 'waiver')}; sha256 {loaded.sha256}")
    if without:
        write_out("\nMeasured in the run, and no rule judges it:")
        for line in lines(without):
            _echo(line, "  ")
        write_out("\nRules that would judge it, to paste under 'rules:' and to change:")
        write_out(proposal.rstrip("\n"))


@policy.command(short_help="Suggest bounds from past runs.")
@click.argument("where", type=click.Path(path_type=Path), required=False)
@click.option("--metric", "names", multiple=True, help="Only this metric; may be repeated.")
@click.option("--slice", "slice_", default="all", show_default=True, help="The slice: baseline=last.")
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number of runs.")
@json_option
def suggest(where: Path | None, names: tuple[str, ...], slice_: str, last: int, as_json: bool) -> None:
    """Print rules whose bounds are a robust band of past runs, as YAML to paste.

    WHERE is an output folder, a run in it or an audit.yaml. The runs are the complete ones that can be compared with
    the newest. A rule warns 3 and fails 6 robust standard deviations (1.4826 MAD) from the median; at least 5 runs are
    needed. Standard error lists the figures for which no bounds can be suggested, and why.
    """
    from corpus_audit.checks.history.history import History
    from corpus_audit.checks.policy.metric_catalogue import KNOWN
    from corpus_audit.checks.policy.proposals import FEWEST_RUNS, suggested, usual_metrics
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.runners.cli.shared.run_paths import output_folder
    from corpus_audit.schemas.errors import UsageError

    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise UsageError(f"there is no metric {unknown[0]!r}: 'corpus-audit policy explain metrics' lists all")
    output = output_folder(where)
    with History.open(output) as history:
        newest = history.runs()[-1:]
        runs = history.last(last, newest[0].reading) if newest else ()
        if len(runs) < FEWEST_RUNS:
            have = plural(len(runs), "run")
            raise UsageError(f"{output} has {have} to learn from, and suggesting bounds needs at least {FEWEST_RUNS}")
        kept = {run.run for run in runs}
        suggestions = []
        for name in names or usual_metrics(slice_):
            points = [point for point in history.series(name, slice_) if point.run.run in kept]
            values = [point.value for point in points if point.value is not None]
            if points or names:
                suggestions.append(suggested(name, slice_, values, len(runs)))
    rules = "\n".join(suggestion.rule for suggestion in suggestions if suggestion.rule)
    reasons = [suggestion.reason for suggestion in suggestions if suggestion.reason]
    if as_json:
        emit_json("policy-suggest", {"runs": [run.run for run in runs], "rules": rules, "without": reasons})
        return
    for reason in reasons:
        note(reason)
    if rules:
        write_out(f"# From {len(runs)} runs, {runs[0].run} to {runs[-1].run}.\nrules:\n{rules.rstrip()}")


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
    from corpus_audit.checks.policy.basis import Judging
    from corpus_audit.checks.policy.judge import rows_by_slice, rule_judgements
    from corpus_audit.runners.audit.judge import references_of

    directory = _directory(run)
    by_rule: dict[str, list[dict[str, Any]]] = {}
    references = references_of(loaded, directory)
    judging = Judging.of(loaded.policy, directory.facts)
    rows = rows_by_slice(directory.table("metrics"), {rule.metric for rule in loaded.policy.rules})
    for rule, line in zip(loaded.policy.rules, loaded.rule_lines, strict=True):
        for judged in rule_judgements(rule, rows.get(rule.metric, {}), references.figures, line, judging):
            shown = {"slice": judged.slice, "status": judged.status.value, "reason": judged.reason}
            by_rule.setdefault(rule.id, []).append(shown)
    return by_rule


def _is_of_version_1(run: Path) -> bool:
    """Whether a run holds results of an earlier release."""
    from corpus_audit.schemas.run.results import FORMAT_1, RESULTS_FILE, read_results

    path = _directory(run).folder / RESULTS_FILE
    return path.exists() and read_results(path.read_bytes(), str(path)).schema_ == FORMAT_1


def _metric_json(metric: Any) -> dict[str, str]:
    import dataclasses

    return dataclasses.asdict(metric)


def _directory(run: Path) -> RunDirectory:
    from corpus_audit.pipelines.storage.run_directory import RunDirectory
    from corpus_audit.runners.cli.shared.run_paths import resolve_run

    return RunDirectory(resolve_run(run))


def _metrics(run: Path) -> pa.Table:
    return _directory(run).table("metrics")
