"""``corpus-audit investigate``: training runs; ``init``, ``run``, ``show``, ``documents``, ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from corpus_audit.runners.cli.compare_evals import compare
from corpus_audit.runners.cli.drawn_documents import documents
from corpus_audit.runners.cli.shared.command_progress import interruptible
from corpus_audit.runners.cli.shared.output import Session, emit_json, json_option, presentation, width_on_stdout
from corpus_audit.runners.cli.shared.streams import note, write_out
from corpus_audit.schemas.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from corpus_audit.runners.investigation.run import Published
    from corpus_audit.schemas.spec.investigation_file import LoadedInvestigation


class _RunByDefault(click.Group):
    """A group whose default command is ``run``: it gets everything that does not begin with a name of a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault, short_help="Find out what happened to training runs; compare evaluations.")
def investigate() -> None:
    """Find out what happened to training runs, from their logs and evaluations.

    `corpus-audit investigate init FOLDER` writes an investigation.yaml, `corpus-audit investigate FILE` computes its
    findings, and `corpus-audit investigate show FINDING` shows one in full. `corpus-audit investigate compare A B`
    compares two evaluations of models, item by item, and `corpus-audit investigate documents FILE WINDOW` lists what
    the sampler drew in the steps WINDOW, such as 31210-31219.
    """


investigate.add_command(compare)
investigate.add_command(documents)


@investigate.command(short_help="Look at folders and write an investigation.yaml.")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("investigation.yaml"),
    show_default=True,
    help="The file to write; an existing file is not overwritten.",
)
@json_option
def init(folders: tuple[Path, ...], output: Path, as_json: bool) -> None:
    """Recognise the logs and evaluations in FOLDERS by their content, and write a commented investigation.yaml.

    Formats: TensorBoard event files, text logs of Megatron-LM, DeepSpeed, torchtitan, OLMo-core, lingua, nanoGPT and
    llm.c, trainer_state.json of Hugging Face, exports and offline files of W&B, MLflow, and CSV, JSON lines and Parquet
    with a column of steps, also compressed; of evaluations those of `investigate compare`, whose paths say of which run
    and step they are, as in now/step30000. Where there are no logs, the folders of evaluations are models that are
    compared. A sampler's log is recognised by its columns step, tokens, and document or domain.
    """
    from corpus_audit.runners.investigation.proposal import propose_investigation

    if output.exists():
        raise UsageError(f"{output} exists already; use --output, or remove it")
    proposal = propose_investigation(folders, output)
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(proposal.text)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    if as_json:
        runs = [{"id": run.id, "telemetry": list(run.telemetry), "points": run.points} for run in proposal.runs]
        evals = [{"run": each.run, "step": each.step, "path": each.path} for each in proposal.evaluations]
        payload = {"file": str(output), "runs": runs, "evals": evals, "drawn": list(proposal.drawn)}
        emit_json(
            "investigate-init", {**payload, "not_recognised": list(proposal.not_recognised), "text": proposal.text}
        )
        return
    write_out(proposal.text, nl=False)
    note(f"\nwrote {output}; next: corpus-audit investigate {output}")


@investigate.command(short_help="Compute the findings of an investigation (the default).")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, file_okay=False), help="Publish into this folder instead."
)
@click.option("--fail-on", type=click.Choice(["shown"]), help="Exit with 1 if a finding is shown.")
@click.option("--quiet", "-q", is_flag=True, help="Do not show progress.")
@json_option
@click.pass_obj
def run(session: Session, /, file: Path, output: Path | None, fail_on: str | None, quiet: bool, as_json: bool) -> int:
    """Compute the findings of the investigation.yaml FILE, print them and publish them as a directory.

    The directory has report.html, findings.json and the tables (Parquet): points, series, files, dead letters, spikes,
    shifts and twins, with `evals` those of evaluations, and with a sampler's log what was drawn before spikes. It
    appears by one rename, and LATEST beside it names the newest. What was parsed of large logs and evaluations is kept
    in .store there: an investigation that was interrupted does not parse them again.
    """
    from corpus_audit.runners.terminal.investigation.findings import findings_lines
    from corpus_audit.schemas.run.findings import Reading
    from corpus_audit.schemas.spec.investigation_file import load_investigation

    published = perform_investigation(session, load_investigation(file), output, quiet)
    shown = sum(finding.reading is Reading.SHOWN for finding in published.findings.findings)
    with presentation(session, f"the findings are in {published.folder}"):
        if as_json:
            payload = published.findings.model_dump(mode="json", exclude={"schema_"})
            emit_json("investigation", {"folder": str(published.folder), **payload})
        else:
            for line in findings_lines(published.findings, width_on_stdout()):
                write_out(line)
            note(f"\npublished {published.folder}; corpus-audit investigate show FINDING --in {published.folder}")
    return int(ExitCode.FAIL) if fail_on == "shown" and shown else int(ExitCode.OK)


def perform_investigation(session: Session, loaded: LoadedInvestigation, output: Path | None, quiet: bool) -> Published:
    """Run an investigation with progress on standard error.

    Raises:
        InterruptedCommandError: SIGINT or SIGTERM came.
        AuditError: it failed for a reason that its message explains.
    """
    with interruptible(session, quiet, lambda _: _INTERRUPTED) as board:
        board.begin_stage("loading the readers")
        from corpus_audit.runners.investigation.run import run_investigation

        return run_investigation(loaded, output, board)


_INTERRUPTED = "interrupted, nothing is published; large files that were read are stored: run the same command again"


@investigate.command(short_help="Show one finding in full.")
@click.argument("finding")
@click.option(
    "--in",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("investigations"),
    show_default=True,
    help="A published investigation, or the folder they are published into, whose newest is used.",
)
@json_option
def show(finding: str, folder: Path, as_json: bool) -> None:
    """Show FINDING with its effect, the explanations that compete, and the rows of the logs that it rests on."""
    from corpus_audit.pipelines.storage.run_directory import LATEST
    from corpus_audit.runners.cli.shared.usage_errors import nearest
    from corpus_audit.runners.terminal.investigation.findings import finding_lines
    from corpus_audit.schemas.run.findings import FINDINGS_FILE, read_findings

    latest = folder / LATEST
    if not (folder / FINDINGS_FILE).exists() and latest.is_file():
        folder = folder / latest.read_text(encoding="utf-8").strip()
    if not (folder / FINDINGS_FILE).exists():
        raise UsageError(f"{folder} holds no findings; 'corpus-audit investigate FILE' computes them")
    findings = {each.id: each for each in read_findings(folder).findings}
    if finding not in findings:
        raise UsageError(nearest("finding", finding, list(findings)))
    if as_json:
        emit_json("finding", findings[finding].model_dump(mode="json"))
        return
    for line in finding_lines(findings[finding], width_on_stdout()):
        write_out(line)
