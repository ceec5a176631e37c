"""``corpus-audit report``: show a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.run_paths import resolve_run
from corpus_audit.runners.cli.shared.streams import write_document


@click.command(short_help="Show a finished run again.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "-f",
    "kind",
    type=click.Choice(("html", "markdown", "junit", "sarif", "openlineage", "croissant", "card")),
    help="Write the run in this format instead of printing the summary.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the report (HTML, or as --format) to this file; - is standard output, instead of the summary.",
)
@click.option(
    "--policy-path",
    metavar="PATH",
    help="With --format sarif: path of the policy from the root of the repository; by default as in the audit.",
)
@json_option
def report(run: Path, kind: str | None, output: Path | None, policy_path: str | None, as_json: bool) -> None:
    """Print the summary of RUN, or write its report in any format from the tables.

    RUN is a run directory, an output folder (whose newest run is used) or an audit.yaml. With --json, report prints
    every metric of the run. The folder outputs of a run directory already has the formats other than HTML.
    """
    run_dir = resolve_run(run)
    if policy_path is not None and kind != "sarif":
        raise click.UsageError("--policy-path is for --format sarif")
    if kind is not None:
        if as_json:
            raise click.UsageError("--format and --json are two forms of the result: give one")
        _write(_rendered(run_dir, kind, policy_path), output or Path("-"))
        return
    page = output or run_dir / "report.html"
    html_on_stdout = str(page) == "-"
    if html_on_stdout and as_json:
        raise click.UsageError("--output - and --json both write to standard output")
    if output is not None:
        _write(_rendered(run_dir, "html"), output)
    if as_json:
        emit_json("report", {"run": str(run_dir), "report": str(page), "metrics": _metrics(run_dir)})
    elif not html_on_stdout:
        from corpus_audit.runners.cli.run import write_summary

        write_summary(run_dir, page)


def _rendered(run_dir: Path, kind: str, policy_path: str | None = None) -> str:
    if kind == "html":
        from corpus_audit.checks.report.page.html import render_html
        from corpus_audit.checks.report.page.model import load_report

        return render_html(load_report(run_dir))
    from dataclasses import replace

    from corpus_audit.checks.outputs.context import load_context
    from corpus_audit.checks.outputs.formats import FORMATS

    evidence = load_context(run_dir)
    return FORMATS[kind].render(evidence if policy_path is None else replace(evidence, policy_path=policy_path))


def _write(text: str, output: Path) -> None:
    from corpus_audit.schemas.errors import UsageError

    if str(output) == "-":
        write_document(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error


def _metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Rows of metrics.parquet; a value that is not a number is null."""
    import math

    from corpus_audit.pipelines.storage.run_directory import RunDirectory

    rows = RunDirectory(run_dir).table("metrics").to_pylist()
    return [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
        for row in rows
    ]
