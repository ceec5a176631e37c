"""``corpus-audit check``: judge a finished run by a policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from corpus_audit.runners.cli.shared.output import (
    Session,
    colour_on_stdout,
    emit_json,
    json_option,
    presentation,
    width_on_stdout,
)
from corpus_audit.runners.cli.shared.streams import write_out
from corpus_audit.runners.cli.shared.verdict import fail_on_option, verdict_code, verdict_json

if TYPE_CHECKING:
    from corpus_audit.pipelines.storage.run_directory import RunDirectory
    from corpus_audit.schemas.run.results import Results


@click.command(short_help="Judge a finished run by a policy, without changing it.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), required=True, help="The policy file.")
@fail_on_option
@json_option
@click.pass_obj
def check(session: Session, /, run: Path, policy_file: Path, fail_on: str, as_json: bool) -> int:
    """Judge RUN (a run directory, an output folder or an audit.yaml) by a policy.

    RUN may also be a published investigation, or the folder they are published into. Nothing is written: the verdict of
    the published run stays as it is. Waivers are checked against today's date.
    """
    from corpus_audit.pipelines.storage.run_directory import RunDirectory
    from corpus_audit.runners.audit.judge import judge_finished
    from corpus_audit.runners.cli.shared.run_paths import resolve_run
    from corpus_audit.runners.investigation.published import find_investigation, judge_investigation, open_investigation
    from corpus_audit.schemas.spec.policy_file import load_policy

    policy = load_policy(policy_file)
    directory: RunDirectory | None = None
    folder = find_investigation(run)
    if folder is not None:
        results = judge_investigation(policy, open_investigation(folder))
    else:
        directory = RunDirectory(resolve_run(run))
        folder, results = directory.folder, judge_finished(policy, directory)
    code = verdict_code(results, fail_on)
    with presentation(session, f"{folder} was judged {results.verdict.value}"):
        _show(results, folder, directory, int(code), as_json)
    return int(code)


def _show(results: Results, folder: Path, run: RunDirectory | None, code: int, as_json: bool) -> None:
    if as_json:
        emit_json("check", {"run": str(folder), **verdict_json(results), "exit_code": code})
        return
    from corpus_audit.checks.report.page.terminal import verdict_lines
    from corpus_audit.checks.report.verdict.section import view_of

    for line in verdict_lines(view_of(results, run), width_on_stdout(), colour_on_stdout()):
        write_out(line.rstrip())
