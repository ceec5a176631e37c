"""Use and update the history of an output folder: trends before a run is published, an entry after."""

from __future__ import annotations

from pathlib import Path

from corpus_audit.pipelines.storage.run_directory import StagedRun
from corpus_audit.schemas.errors import AuditError
from corpus_audit.schemas.run.results import RESULTS_FILE, read_results
from corpus_audit.schemas.run.run_file import RunFile


def stage_trends(staged: StagedRun, facts: RunFile) -> None:
    """Write the earlier values of the judged figures into a staged run, if it was judged and there are earlier runs.

    A history that cannot be used is no reason to lose a run: then there are no trends, and `record_run` says why.
    """
    judged = staged.folder / RESULTS_FILE
    if not judged.exists():
        return
    from corpus_audit.checks.history.trends import TRENDS_FILE, trends_of

    try:
        trends = trends_of(staged.output, read_results(judged.read_bytes()), facts)
    except AuditError:
        return
    if trends is not None:
        (staged.folder / TRENDS_FILE).write_bytes(trends.to_json())


def record_run(run_dir: Path) -> str:
    """Index a published run; returns a message if that fails, else an empty string. An error here never fails a run."""
    from corpus_audit.checks.history.history import update_index

    try:
        problems = update_index(run_dir.parent)
    except Exception as error:  # whatever it is: the run is published, and the index can be made again from the runs
        return f"the history was not brought up to date: {error}"
    return "; ".join(problems)
