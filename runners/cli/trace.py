"""``corpus-audit trace``: trace a text to the documents of a corpus; ``trace build`` and ``trace verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.command_progress import build_progress
from corpus_audit.runners.cli.shared.engine_choice import engine_of, engine_options
from corpus_audit.runners.cli.shared.output import Session, emit_json, json_option, presentation, width_on_stdout
from corpus_audit.runners.cli.shared.streams import write_out
from corpus_audit.schemas.errors import UsageError

if TYPE_CHECKING:
    from corpus_audit.embeddings.lookup.shared_units import SharedUnits
    from corpus_audit.pipelines.tracing.results import Trace
    from corpus_audit.runners.indexing.trace import BuiltTraceIndex

UNITS = 20
"""Units that are shown with ``--units``."""

trace_index_option = click.option(
    "--index", "path", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
    help="A trace index, or the output folder of its audit.",
)  # fmt: skip


class _TextByDefault(click.Group):
    """A group whose default command is ``text``: it gets everything that does not begin with a name of a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = ["text", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_TextByDefault, short_help="Trace a text to the documents that share spans with it.")
def trace() -> None:
    """Find the longest spans that a text, such as a model's output, shares with the documents of a corpus.

    `corpus-audit trace build AUDIT` indexes the corpus, `corpus-audit trace TEXT` traces a text, and
    `corpus-audit trace verify` checks the index. `corpus-audit trace text --help` shows the options of tracing.
    """


@trace.command(short_help="Trace a text (the default).")
@click.argument("text", required=False)
@click.option("--file", "file", type=click.Path(path_type=Path, allow_dash=True),
              help="Read the text from this file, UTF-8; - is standard input.")  # fmt: skip
@trace_index_option
@click.option("--words", "shortest", type=click.IntRange(min=1), default=8, show_default=True,
              help="Shortest span, in words; punctuation marks match but do not count.")  # fmt: skip
@click.option("--spans", type=click.IntRange(min=1), help="Maximum number of spans shown; default: one per 20 words.")
@click.option("--documents", type=click.IntRange(min=0), default=5, show_default=True,
              help="Maximum number of documents shown.")  # fmt: skip
@click.option("--across-sentences", is_flag=True, help="Let spans go beyond the end of a line or sentence.")
@click.option("--units", "units", is_flag=True,
              help="Also the units that fire on the same words of the text and of training documents.")  # fmt: skip
@click.option("--activations", type=click.Path(path_type=Path), default=Path("index"), show_default=True,
              help="With --units: an activation index of the corpus, or a folder of them.")  # fmt: skip
@click.option("--model", help="With --units: path of the model, if it has moved since indexing.")
@click.option("--stretches", type=click.IntRange(0, 10_000), default=100, show_default=True,
              help="Stretches of the corpus traced for reference; 0: none.")  # fmt: skip
@json_option
def text(
    text: str | None,
    file: Path | None,
    path: Path,
    shortest: int,
    spans: int | None,
    documents: int,
    across_sentences: bool,
    units: bool,
    activations: Path,
    model: str | None,
    stretches: int,
    as_json: bool,
) -> None:
    """Show the longest spans of TEXT that occur in the corpus, and the documents that hold them.

    A span is verbatim, consists of whole words, stays within a line and sentence, and is part of no longer one. Of the
    spans of at least --words words, the least probable are shown. Every count is exact.

    The share of the text that these spans cover is compared with that of stretches of the corpus's own documents, each
    traced to all other documents.
    """
    from dataclasses import asdict

    from corpus_audit.pipelines.tracing.index import open_trace_index
    from corpus_audit.pipelines.tracing.trace import TraceSettings, trace_text
    from corpus_audit.runners.terminal.shared_units import shared_unit_lines, shared_units_json
    from corpus_audit.runners.terminal.trace import trace_lines

    if (text is None) == (file is None):
        raise UsageError("give either TEXT or --file")
    if model is not None and not units:
        raise UsageError("--model goes with --units")
    content = text if text is not None else _read(file)
    if any("\ud800" <= character <= "\udfff" for character in content):
        raise UsageError("TEXT is not UTF-8")
    shared = None
    index = open_trace_index(path)
    settings = TraceSettings(shortest, spans, documents, across_sentences, stretches)
    result = trace_text(index, content, settings)
    if units:
        shared = _shared_units(content, result, activations, model)
    if as_json:
        emit_json(
            "trace",
            {"index": str(index.folder), "name": index.facts["name"], "counts": index.facts["counts"]}
            | {"settings": asdict(settings), "coverage": result.coverage}
            | asdict(result)
            | ({} if shared is None else {"units": shared_units_json(shared)}),
        )
        return
    for line in trace_lines(index.facts, result, width_on_stdout()):
        write_out(line)
    if shared is not None:
        for line in shared_unit_lines(shared, width_on_stdout()):
            write_out(line)


def _shared_units(text: str, result: Trace, activations: Path, model: str | None) -> SharedUnits:
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.lookup.shared_units import units_on_both
    from corpus_audit.schemas.errors import needs_extra

    opened = open_index(activations)
    with needs_extra("embeddings"):
        return units_on_both(opened, text, [(span.start, span.stop) for span in result.spans], UNITS, model=model)


def _read(file: Path | None) -> str:
    """The text of a file or of standard input.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else Path(str(file)).read_bytes()
        return data.decode()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: byte {error.start} is no part of a character") from None


@trace.command(short_help="Index the corpus of an audit for tracing.")
@click.argument("audit", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value: output=elsewhere.")
@click.option("--workers", type=click.IntRange(min=1), help="Parallel splits; by default one a core.")
@engine_options
@click.option("--quiet", "-q", is_flag=True, help="Do not show progress.")
@json_option
@click.pass_obj
def build(
    session: Session,
    /,
    audit: Path,
    overrides: tuple[str, ...],
    workers: int | None,
    quiet: bool,
    as_json: bool,
    **engine: Any,
) -> None:
    """Index the documents of AUDIT's snapshot, in the folder trace of its output folder.

    Splits that are indexed already are not read again: an interrupted build continues where it stopped, of a corpus
    that grew only new shards are read, and shards that are gone are removed from the index.
    """
    from corpus_audit.pipelines.reading.snapshot.dates import fill_dates
    from corpus_audit.runners.indexing.trace import build_trace_index
    from corpus_audit.schemas.spec.audit_file import load_audit

    options = engine_of(**engine)
    loaded = fill_dates(load_audit(audit, overrides))
    with build_progress(session, loaded, "indexed splits", quiet) as warn:
        built = build_trace_index(loaded, workers, options, warn)
    with presentation(session, f"the index is published in {built.folder}"):
        _show_build(built, as_json)


def _show_build(built: BuiltTraceIndex, as_json: bool) -> None:
    from corpus_audit.checks.text import numbers
    from corpus_audit.checks.text.safe_text import safe_text

    counts = built.facts["counts"]
    size = sum(path.stat().st_size for path in built.folder.rglob("*") if path.is_file())
    if as_json:
        seconds = {name: round(value, 3) for name, value in built.timings.stages.items()}
        payload = {"index": str(built.folder), "counts": counts, "domains": built.facts["domains"]}
        splits = {"splits_read": built.splits_read, "splits_kept": built.splits_kept}
        emit_json("trace-build", payload | splits | {"unread": len(built.unread), "bytes": size, "seconds": seconds})
        return
    write_out(
        f"{numbers.plural(counts['documents'], 'document')}, {numbers.compact(counts['words'])} words; "
        f"{numbers.plural(built.splits_read, 'split')} read, {built.splits_kept:,} reused"
    )
    if counts["dead_letters"]:
        write_out(
            f"{numbers.plural(counts['dead_letters'], 'row')} could not be read and can match nothing; "
            "'corpus-audit run' lists them"
        )
    for file in built.unread[:3]:
        write_out(f"not read: {safe_text(file.name)}")
    if len(built.unread) > 3:
        write_out(f"and {len(built.unread) - 3:,} more files that may be data and are not read")
    write_out(f"{numbers.byte_size(size)} in {built.folder}, for {numbers.byte_size(counts['text_bytes'])} of text")


@trace.command(short_help="Check that a trace index is unchanged.")
@click.argument("path", type=click.Path(path_type=Path), default=Path("runs"))
@json_option
def verify(path: Path, as_json: bool) -> int:
    """Compare every byte of the index at PATH (an index, or the output folder of its audit) with its digests."""
    from corpus_audit.pipelines.tracing.index import damaged_segments, find_trace_index, read_facts
    from corpus_audit.runners.cli.shared.verification import print_damaged

    folder = find_trace_index(path)
    return print_damaged("trace-verify", folder, damaged_segments(folder, read_facts(folder)), as_json)
