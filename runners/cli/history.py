"""``corpus-audit history``: plot a metric over runs, or list the runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from corpus_audit.runners.cli.shared.output import colour_on_stdout, emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.run_paths import output_folder
from corpus_audit.runners.cli.shared.streams import note, write_out

if TYPE_CHECKING:
    from corpus_audit.checks.history.history import History, IndexedRun


@click.command(short_help="Plot a metric over runs, or list the runs.")
@click.argument("metric", required=False)
@click.option(
    "--slice", "slice_", default="all", show_default=True, help="The slice of the metric, such as domain=web."
)
@click.option(
    "--output",
    "-o",
    "path",
    type=click.Path(path_type=Path),
    help="An output folder, a run in it, or an audit.yaml; by default audit.yaml or the folder runs.",
)
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number of runs.")
@click.option("--rebuild", is_flag=True, help="First rebuild the index from the run directories.")
@json_option
def history(metric: str | None, slice_: str, path: Path | None, last: int, rebuild: bool, as_json: bool) -> None:
    """Plot METRIC over the runs of an output folder, or list the runs and the metrics.

    METRIC is a name from metrics.parquet. The index, history.sqlite, is first updated from the run directories.
    """
    from corpus_audit.checks.history import history as index

    output = output_folder(path)
    if rebuild:
        index.rebuild(output)
    with index.History.open(output) as opened:
        for problem in opened.problems:
            note(f"corpus-audit: {problem}")
        if metric is None:
            _runs(opened, output, last, as_json)
        else:
            _series(opened, output, metric, slice_, last, as_json)


def _facts(run: IndexedRun) -> dict[str, object]:
    return {
        "run": run.run,
        "time": run.time,
        "name": run.name,
        "snapshot": run.snapshot,
        "tokenizer": run.tokenizer,
        "reading": run.reading,
        "complete": run.complete,
        "verdict": None if run.verdict is None else run.verdict.value,
        "policy": run.policy,
        "signed": run.signed,
    }


def _runs(history_index: History, output: Path, last: int, as_json: bool) -> None:
    from corpus_audit.checks.history.terminal import render_names, render_runs
    from corpus_audit.schemas.errors import UsageError

    runs = history_index.runs()
    if as_json:
        emit_json(
            "history",
            {
                "output": str(output),
                "runs": [_facts(run) for run in runs[-last:]],
                "metrics": history_index.metric_slices(),
            },
        )
    elif not runs:
        raise UsageError(f"{output} holds no finished run; 'corpus-audit run' makes one")
    else:
        shown = runs[-last:]
        write_out(render_runs(shown, len(runs) - len(shown), width_on_stdout(), colour_on_stdout()))
        write_out(render_names(history_index.metric_slices(), width_on_stdout(), colour_on_stdout()), nl=False)


def _series(history_index: History, output: Path, metric: str, slice_: str, last: int, as_json: bool) -> None:
    from corpus_audit.checks.history.terminal import render_series, unknown_name
    from corpus_audit.schemas.errors import UsageError

    points = history_index.series(metric, slice_)
    if not points:
        metrics = history_index.metrics()
        if metric not in metrics:
            raise UsageError(unknown_name("metric", metric, metrics))
        raise UsageError(f"{metric}: {unknown_name('slice', slice_, history_index.slices(metric))}")
    shown = points[-last:]
    if as_json:
        figures = ("value", "low", "high", "n", "unit")
        listed = [_facts(point.run) | {name: getattr(point, name) for name in figures} for point in shown]
        emit_json("history", {"output": str(output), "metric": metric, "slice": slice_, "points": listed})
        return
    text = render_series(metric, slice_, shown, len(points) - len(shown), width_on_stdout(), colour_on_stdout())
    write_out(text, nl=False)
