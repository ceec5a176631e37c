"""``corpus-audit check``: what a policy says of a finished run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from corpus_audit.runners.cli.output import colour_on_stdout, emit_json, json_option
from corpus_audit.runners.cli.verdict import fail_on_option, verdict_code, verdict_json


@click.command(short_help="Judge a finished run by a policy, without changing it.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), required=True, help="The policy.yaml.")
@fail_on_option
@json_option
def check(run: Path, policy_file: Path, fail_on: str, as_json: bool) -> int:
    """Say what a policy says of RUN, a run directory, an output folder or an audit.yaml.

    Nothing is written: what a run was judged to when it was published stays as it is. Waivers are held against today.
    """
    from corpus_audit.pipelines.run_directory import RunDirectory
    from corpus_audit.runners.cli.report import resolve_run
    from corpus_audit.runners.judged import judge_finished
    from corpus_audit.schemas.policy_file import load_policy

    policy = load_policy(policy_file)
    directory = RunDirectory(resolve_run(run))
    results = judge_finished(policy, directory).results
    code = verdict_code(results, fail_on)
    if as_json:
        emit_json("check", {"run": str(directory.folder), **verdict_json(results), "exit_code": int(code)})
        return int(code)
    import shutil

    from corpus_audit.checks.report.text import verdict_lines
    from corpus_audit.checks.report.verdict_section import view_of

    width = min(100, shutil.get_terminal_size((80, 24)).columns) if sys.stdout.isatty() else 80
    for line in verdict_lines(view_of(results, directory), width, colour_on_stdout()):
        click.echo(line.rstrip())
    return int(code)
