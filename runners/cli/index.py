"""``corpus-audit index``: index what makes a model's units fire; ``index verify`` checks an index."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.plot import plot
from corpus_audit.runners.cli.score import score
from corpus_audit.runners.cli.shared.command_progress import build_progress
from corpus_audit.runners.cli.shared.engine_choice import dry_run_option, engine_of, engine_options, show_dry_run
from corpus_audit.runners.cli.shared.index_options import index_option, model_option, snapshot_option
from corpus_audit.runners.cli.shared.output import Session, emit_json, json_option, presentation
from corpus_audit.runners.cli.shared.streams import note, write_out
from corpus_audit.runners.cli.shared.usage_errors import nearest
from corpus_audit.runners.engines.options import EMBEDDED, EngineOptions

if TYPE_CHECKING:
    from corpus_audit.embeddings.build.build import BuiltIndex
    from corpus_audit.schemas.spec.audit_file import LoadedAudit


class _BuildByDefault(click.Group):
    """A group whose default command is ``build``: it gets every argument that is not the name of a command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            if difflib.get_close_matches(args[0], self.commands, 1, 0.6) and not Path(args[0]).exists():
                ctx.fail(nearest("audit or command", args[0], self.commands))
            args = ["build", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_BuildByDefault, short_help="Index which examples make a model's units fire.")
def index() -> None:
    """Scan the corpus of an audit for the examples that make the units of a model fire.

    `corpus-audit index AUDIT` builds the index that the embedding section of AUDIT describes. `corpus-audit index
    verify INDEX` checks an index.
    """


@index.command(short_help="Build the index of an audit (the default).")
@click.argument("audit", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value: embedding.k=50.")
@click.option(
    "--directions", multiple=True, metavar="FILE:BLOCK", help="Also index the vectors of FILE as units after BLOCK."
)
@click.option("--workers", type=click.IntRange(min=1), help="Parallel splits; by default one per core, one on a GPU.")
@engine_options
@dry_run_option
@click.option("--quiet", "-q", is_flag=True, help="Do not show progress.")
@json_option
@click.pass_obj
def build(
    session: Session,
    /,
    audit: Path,
    overrides: tuple[str, ...],
    directions: tuple[str, ...],
    workers: int | None,
    quiet: bool,
    as_json: bool,
    dry_run: bool,
    **engine: Any,
) -> None:
    """Build the index of AUDIT's embedding section.

    Splits that were scanned before are not scanned again: an interrupted scan continues where it stopped, and of a
    corpus that grew only new shards are read. Needs the extra: pip install 'corpus-audit[embeddings]'.
    """
    from corpus_audit.pipelines.reading.snapshot.dates import fill_dates
    from corpus_audit.runners.indexing.build import with_directions
    from corpus_audit.schemas.spec.audit_file import load_audit

    options = engine_of(**engine)
    loaded = with_directions(fill_dates(load_audit(audit, overrides)), directions)
    if dry_run:
        show_dry_run(loaded, options, as_json, index=True)
        return
    built = perform_index(session, loaded, workers=workers, quiet=quiet, engine=options)
    with presentation(session, f"the index is published in {built.folder}"):
        _show_index(built, as_json)


def perform_index(
    session: Session,
    loaded: LoadedAudit,
    *,
    workers: int | None,
    quiet: bool,
    engine: EngineOptions = EMBEDDED,
) -> BuiltIndex:
    """Build an audit's index with progress on standard error.

    Raises:
        UsageError: as `index_corpus`.
    """
    from corpus_audit.runners.process.interpreter import keep_freed_memory

    if session.own_process:
        # Before torch is loaded: its threads would spin between operations, a third of all CPU time.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        keep_freed_memory()
    from corpus_audit.runners.indexing.build import index_corpus

    with build_progress(session, loaded, "scanned splits", quiet) as warn:
        built = index_corpus(loaded, workers, engine, warn)
    requested = loaded.spec.embedding.batch_tokens if loaded.spec.embedding else 0
    if built.batch_tokens < requested:
        note(f"corpus-audit: batches of {requested:,} tokens do not fit the device; {built.batch_tokens:,} were used")
    return built


def _show_index(built: BuiltIndex, as_json: bool) -> None:
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.checks.text.safe_text import safe_text
    from corpus_audit.embeddings.index.files import facts_text
    from corpus_audit.embeddings.index.not_offered import reasons_for

    counts = built.facts.counts
    size = sum(path.stat().st_size for path in built.folder.rglob("*") if path.is_file())
    if as_json:
        payload = {"index": str(built.folder), "counts": counts, "domains": list(built.facts.domains)}
        splits = {"splits_scanned": built.splits_scanned, "splits_kept": built.splits_kept}
        seconds = {name: round(value, 3) for name, value in built.seconds.items()}
        more = {"bytes": size, "seconds": seconds, "verified": built.facts.verified}
        more |= {"autoencoders": built.facts.autoencoders, "not_offered": built.facts.not_offered}
        emit_json("index", payload | splits | more)
        return
    write_out(safe_text(facts_text(built.facts), 200))
    of_images = built.facts.of_images
    read = plural(counts["documents"], "image" if of_images else "document")
    windows = "" if of_images else f", {plural(counts['windows'], 'window')}"
    write_out(f"{read}{windows}; {plural(built.splits_scanned, 'split')} scanned, {built.splits_kept:,} reused")
    if counts["dead_letters"]:
        write_out(
            f"{plural(counts['dead_letters'], 'row')} could not be read; 'corpus-audit run' lists them with reasons"
        )
    write_out(_verified_line(built.facts.verified, "image" if of_images else "window"))
    for line in reasons_for(built.facts.not_offered):
        write_out(safe_text(line, 400))
    for name, checked in (built.facts.autoencoders or {}).items():
        for line in _autoencoder_lines(name, checked):
            write_out(safe_text(line, 400))
    write_out("  ".join(f"{name} {value:.1f} s" for name, value in built.seconds.items()))
    write_out(f"{size / 1e6:,.1f} MB in {built.folder}")


def _verified_line(verified: dict[str, Any] | None, window: str) -> str:
    from corpus_audit.checks.text.numbers import plural

    if verified is None:
        return f"no {window} was run again"
    again = f"{plural(verified['windows'], window)} run again in float32"
    if verified["complete"] is None:
        line = f"{again}: {verified['records']:,} examples within {verified['largest']:.1e} of their unit's largest"
        if flipped := verified.get("flipped"):
            windows = verified["flipped_windows"]
            line += (
                f", but for {flipped:,} in {windows:,} {'window' if windows == 1 else 'windows'}, where a router or a "
                "threshold decided a near tie otherwise"
            )
        return line
    return (
        f"{again}: bfloat16 was off by {verified['largest']:.1%} of a unit's largest at most; "
        f"{verified['complete']:.2%} of top lists are complete by that margin"
    )


def _autoencoder_lines(name: str, checked: dict[str, Any]) -> Iterator[str]:
    """How well an autoencoder fits this corpus, and warnings about it."""
    explained = checked["explained_variance"]
    yield (
        f"sae.{name}: {checked['tokens']:,} tokens of {checked['hook']} computed again in float64: within "
        f"{checked['largest']:.1e} of the product of lengths, {checked['active']:,.1f} latents a token; explains "
        + ("no variance" if explained is None else f"{explained:.1%} of the variance")
    )
    if explained is not None and explained < checked["least_explained"]:
        yield (
            f"warning: sae.{name} explains less than {checked['least_explained']:.0%} of the variance of what it "
            "reads, as with a wrong hook, model or normalisation: its examples may mean nothing"
        )
    for remark in checked["notes"]:
        yield f"sae.{name}: {remark}"


index.add_command(plot)
index.add_command(score)


@index.command(short_help="Check that an index is unchanged.")
@click.argument("path", type=click.Path(path_type=Path), default=Path("index"))
@json_option
def verify(path: Path, as_json: bool) -> int:
    """Check the digest of every file of the index at PATH (an index, or a folder of indexes, whose newest is used)."""
    from corpus_audit.embeddings.index.files import damaged_files, find_index, read_facts
    from corpus_audit.runners.cli.shared.verification import print_damaged

    folder = find_index(path)
    return print_damaged("index-verify", folder, damaged_files(folder, read_facts(folder)), as_json)


@index.command(short_help="Write units for other tools.")
@click.argument("pattern")
@click.argument("folder", type=click.Path(path_type=Path))
@index_option
@snapshot_option
@click.option("--format", "form", type=click.Choice(["neuronpedia", "delphi", "parquet"]), required=True,
              help="Neuronpedia's features and activations, delphi's cache, or tables of the whole index.")  # fmt: skip
@click.option("--windows", type=click.IntRange(min=1), default=2000, show_default=True,
              help="With delphi: windows at most, chosen by hash.")  # fmt: skip
@model_option
@json_option
def export(
    pattern: str,
    folder: Path,
    path: Path,
    snapshot: str | None,
    form: str,
    windows: int,
    model: str | None,
    as_json: bool,
) -> None:
    """Write the units that match PATTERN, such as 'mlp.3:0-99', to FOLDER.

    Neuronpedia's and delphi's files hold the activations of all tokens, for which the model runs once over the windows.
    """
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.lookup.compare_units import select_rows
    from corpus_audit.embeddings.lookup.export import export as write_units
    from corpus_audit.schemas.errors import needs_extra

    opened = open_index(path, snapshot)
    rows = select_rows(opened, pattern)
    with needs_extra("embeddings"):
        written = write_units(opened, rows, folder, form, windows, model)  # type: ignore[arg-type]
    if as_json:
        emit_json(
            "index-export", {"index": str(opened.folder), "format": form, "units": written, "folder": str(folder)}
        )
    else:
        write_out(f"{plural(written, 'unit')} written to {folder}")


@index.command(short_help="Read explanations of units that other tools have made.")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@index_option
@snapshot_option
@click.option("--point", help="The point whose units they are of, such as sae.NAME; needed for delphi's.")
@json_option
def annotate(source: Path, path: Path, snapshot: str | None, point: str | None, as_json: bool) -> None:
    """Store the explanations of SOURCE beside the index, for lookup to show.

    SOURCE is a file of Neuronpedia's explanations (.jsonl, .jsonl.gz), or a folder of delphi's (NAME_latentN.txt).
    """
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.lookup.explanations import import_explanations

    opened = open_index(path, snapshot)
    units, others = import_explanations(opened, source, point)
    if as_json:
        emit_json("index-annotate", {"index": str(opened.folder), "units": units, "others": others})
    else:
        write_out(f"explanations of {plural(units, 'unit')} of the index; {others:,} of other units left out")
