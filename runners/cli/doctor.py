"""``corpus-audit doctor``: check whether this machine is ready to run audits."""

from __future__ import annotations

from typing import Any

import click

from corpus_audit.runners.cli.shared.engine_choice import engine_of, engine_options
from corpus_audit.runners.cli.shared.output import colour_on_stdout, emit_json, json_option
from corpus_audit.runners.cli.shared.streams import write_out
from corpus_audit.runners.engines.options import FlinkOptions
from corpus_audit.schemas.errors import ExitCode

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(short_help="Check whether this machine is ready to run audits.")
@engine_options
@json_option
def doctor(as_json: bool, **engine: Any) -> int:
    """Check versions, memory, disk, kernels and tokenizers of this machine, and say how to fix what is wrong.

    With --engine flink, also check Java, jars, versions, the cluster, its workers, and whether they see the current
    folder. The exit code is 0, or 1 if a check fails.
    """
    options = engine_of(**engine)
    from corpus_audit.runners.doctor.doctor import CheckStatus, examine
    from corpus_audit.runners.process.logs import quiet_engine_logs

    quiet_engine_logs()
    findings = examine()
    if isinstance(options, FlinkOptions):
        from corpus_audit.runners.doctor import flink

        findings += flink.examine(options)
    failed = any(finding.status is CheckStatus.FAIL for finding in findings)
    code = ExitCode.FAIL if failed else ExitCode.OK
    if as_json:
        emit_json("doctor", {"findings": [finding.as_dict() for finding in findings], "exit_code": int(code)})
        return int(code)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        status = f"{finding.status:<4}"
        if colour_on_stdout():
            status = click.style(status, fg=_COLOURS[finding.status])
        write_out(f"{status}  {finding.name:<{width}}  {finding.result}")
        if finding.advice:
            write_out(f"      {'':<{width}}  {finding.advice}")
    return int(code)
