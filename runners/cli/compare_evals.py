"""``corpus-audit investigate compare``: compare two evaluations of language models, item by item."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.streams import note, write_out

if TYPE_CHECKING:
    import pyarrow as pa


@click.command(short_help="Compare two evaluations, item by item.")
@click.argument("eval_a", type=click.Path(path_type=Path))
@click.argument("eval_b", type=click.Path(path_type=Path))
@click.option("--primary", multiple=True, metavar="TASK[:METRIC]", help="A task that matters most; may be repeated.")
@click.option("--cluster", metavar="FIELD", help="The field of an item that names its cluster: passage_id.")
@click.option("--contaminated", type=click.Path(path_type=Path), help="A list of items that the training data hold.")
@click.option("--rule", metavar="NAME", help="The rule of that list, if it holds several.")
@click.option("--placebo", type=click.Path(path_type=Path), help="An evaluation before EVAL_A, before the leak.")
@click.option("--model-a", metavar="NAME", help="The model of EVAL_A, if it holds several.")
@click.option("--model-b", metavar="NAME", help="The model of EVAL_B, if it holds several.")
@click.option("--model-placebo", metavar="NAME", help="The model of --placebo, if it holds several.")
@click.option("--refusal", multiple=True, metavar="METRIC=VALUE", help="Scores that count as refusals.")
@click.option("--harm", multiple=True, metavar="METRIC=VALUE", help="Scores that count as harm.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Write the tables to this folder (Parquet)."
)
@json_option
def compare(
    eval_a: Path,
    eval_b: Path,
    primary: tuple[str, ...],
    cluster: str | None,
    contaminated: Path | None,
    rule: str | None,
    placebo: Path | None,
    model_a: str | None,
    model_b: str | None,
    model_placebo: str | None,
    refusal: tuple[str, ...],
    harm: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare the scores of EVAL_B with those of EVAL_A, item by item.

    Each is a file, or a folder of files, of lm-evaluation-harness, Inspect, HELM, lighteval, OpenAI evals, Every Eval
    Ever, SWE-agent, tau-bench or alpaca_eval, or a table with an item and a score a row.

    For every task and metric: the difference with its interval, p, q, the smallest difference that would be detected
    (MDE), and a reading. Items with another prompt or task version are named as incomparable. Of agents also what
    they spent and where their paths first part; of safety evaluations the rates of refusals and of harmful answers,
    where the metric's name says so or --refusal and --harm do, such as --refusal xstest:grade<=0.5.
    """
    from corpus_audit.checks.investigation.comparison_findings import comparison_findings
    from corpus_audit.checks.investigation.evaluations.about import About
    from corpus_audit.checks.investigation.evaluations.behaviour_findings import behaviour_findings
    from corpus_audit.pipelines.evaluations.behaviour.compare import with_behaviour
    from corpus_audit.pipelines.evaluations.behaviour.safety import safety_rules
    from corpus_audit.pipelines.evaluations.comparison import Side
    from corpus_audit.pipelines.evaluations.comparison import compare as compare_sides
    from corpus_audit.pipelines.evaluations.contaminated import read_contaminated
    from corpus_audit.pipelines.evaluations.reading import read_evaluation
    from corpus_audit.runners.terminal.investigation.comparison import comparison_summary
    from corpus_audit.schemas.errors import UsageError

    if contaminated is None and (rule is not None or placebo is not None):
        raise UsageError("--rule and --placebo need --contaminated")
    listed = None if contaminated is None else read_contaminated(contaminated, rule)
    first = read_evaluation(eval_a, cluster)
    second = first if eval_a == eval_b else read_evaluation(eval_b, cluster)
    before = None if placebo is None else Side(read_evaluation(placebo, cluster), model_placebo)
    sides = Side(first, model_a), Side(second, model_b)
    rules = safety_rules({"refusal": refusal, "harm": harm})
    result = with_behaviour([sides], [compare_sides(*sides, primary, listed, before)], rules)[0]
    if out is not None:
        _write(out, result.tables)
    if as_json:
        rows = {name.removeprefix("evaluation_"): table.to_pylist() for name, table in result.tables.items()}
        made = (*comparison_findings(result.tables), *behaviour_findings(result.tables, About()))
        findings = [finding.model_dump(mode="json") for finding in made]
        payload = {"a": str(eval_a), "b": str(eval_b), "sentence": result.sentence, "findings": findings}
        emit_json("investigate-compare", {**payload, **rows})
    else:
        write_out(
            comparison_summary(str(eval_a), str(eval_b), result.sentence, result.tables, width_on_stdout()), nl=False
        )


def _write(folder: Path, tables: dict[str, pa.Table]) -> None:
    from corpus_audit.pipelines.storage.run_directory import write_table
    from corpus_audit.schemas.errors import UsageError

    try:
        for name, table in tables.items():
            write_table(folder / f"{name}.parquet", table.schema, [table])
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}") from error
    note(f"wrote {len(tables)} tables into {folder}")
