"""``corpus-audit prune``: remove old runs and unused partials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import note, write_out

if TYPE_CHECKING:
    from corpus_audit.runners.audit.prune import Pruning


@click.command(short_help="Remove old runs and unused partials.")
@click.argument("path", type=click.Path(path_type=Path), metavar="AUDIT")
@click.option("--keep-last", type=click.IntRange(min=1), metavar="N", help="Keep the N newest runs.")
@click.option("--keep-days", type=click.FloatRange(min=0), metavar="D", help="Keep runs of the last D days.")
@click.option("--apply", is_flag=True, help="Remove. Without it, only list what would be removed.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed (the default).")
@json_option
def prune(
    path: Path, keep_last: int | None, keep_days: float | None, apply: bool, dry_run: bool, as_json: bool
) -> None:
    """Remove old runs of AUDIT (an audit.yaml or an output folder), and partials that no remaining run uses.

    Prune keeps a run if --keep-last or --keep-days selects it, if it is the newest, if it is signed, or if AUDIT or the
    spec or policy of a kept run names it. With --apply it locks the output folder, so it ends with exit code 6 while a
    run is going on.
    """
    from datetime import UTC, datetime

    from corpus_audit.runners.audit.prune import Keep, plan_pruning
    from corpus_audit.runners.audit.prune import prune as remove
    from corpus_audit.runners.cli.shared.run_paths import output_folder
    from corpus_audit.runners.process.locks import OutputLock
    from corpus_audit.schemas.spec.audit_file import load_audit

    if keep_last is None and keep_days is None:
        raise click.UsageError("select the runs to keep with --keep-last N, --keep-days D, or both")
    if apply and dry_run:
        raise click.UsageError("--apply and --dry-run are opposites: give one")
    audit = load_audit(path) if path.is_file() else None
    output = output_folder(path).resolve()
    keep = Keep(keep_last, keep_days)
    if apply:
        with OutputLock(output):
            plan = plan_pruning(output, keep, datetime.now(UTC), audit)
            remove(plan)
    else:
        plan = plan_pruning(output, keep, datetime.now(UTC), audit)
    _show_plan(plan, apply, as_json)


def _show_plan(plan: Pruning, applied: bool, as_json: bool) -> None:
    from corpus_audit.checks.text.numbers import plural

    if as_json:
        runs = [{"run": run, "bytes": size} for run, size in plan.runs.items()]
        partials = {"files": len(plan.partials), "bytes": plan.partial_bytes}
        kept = [{"run": run, "reason": reason} for run, reason in sorted(plan.kept.items())]
        facts = {"output": str(plan.output), "applied": applied, "runs": runs, "partials": partials, "kept": kept}
        emit_json("prune", {**facts, "left": list(plan.left), "bytes": plan.bytes, "exit_code": 0})
        return
    for reason in plan.left:
        note(f"corpus-audit: {reason}")
    for run, reason in sorted(plan.kept.items()):
        write_out(f"keep    {run}  {reason}")
    verb = "removed" if applied else "remove "
    for run, size in plan.runs.items():
        write_out(f"{verb} {run}  {size:,} bytes")
    done = "Removed" if applied else "Would remove"
    write_out(
        f"{done} {plural(len(plan.runs), 'run')} and {plural(len(plan.partials), 'partial')}, "
        f"{plural(plan.bytes, 'byte')}" + ("." if applied or not plan.bytes else "; to do so, give --apply.")
    )
