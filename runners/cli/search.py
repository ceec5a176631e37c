"""``corpus-audit search``: windows of the corpus that are near to a text, a document or a direction."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.runners.cli.shared.index_options import index_option, snapshot_option
from corpus_audit.runners.cli.shared.output import colour_on_stdout, emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.streams import note, write_out

if TYPE_CHECKING:
    from corpus_audit.embeddings.lookup.search import Overlap


@click.command(short_help="Find windows of the corpus near to a text, a document or a direction.")
@click.argument("text", required=False)
@click.option("--like", "document", metavar="DOC_ID", help="Near to this document, which itself is left out.")
@click.option("--direction", metavar="FILE[:ROW]", help="Near to a vector of a .npy or .safetensors file.")
@index_option
@snapshot_option
@click.option("--domain", help="Only documents of this domain.")
@click.option("--k", "k", type=click.IntRange(1, 1000), default=10, show_default=True, help="At most so many.")
@click.option("--per-document", type=click.IntRange(min=1), help="At most so many of one document.")
@click.option("--model", help="Where the index's model is, if not where it was.")
@json_option
def search(
    text: str | None,
    document: str | None,
    direction: str | None,
    path: Path,
    snapshot: str | None,
    domain: str | None,
    k: int,
    per_document: int | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Show the windows nearest to TEXT by meaning, as the index's model sees it; ranked exactly, by cosine.

    A direction's nearest windows are not those in which it is largest: how far the two lists are apart is measured on
    the index and said. 'corpus-audit index AUDIT --directions FILE:BLOCK' finds the latter.
    """
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.lookup.search import WindowSearch
    from corpus_audit.runners.terminal.heat_map import terminal_has_colours
    from corpus_audit.runners.terminal.lookup import View, example_json, example_lines
    from corpus_audit.schemas.errors import UsageError

    if (text is not None) + (document is not None) + (direction is not None) != 1:
        raise UsageError("give one of TEXT, --like and --direction")
    index = open_index(path, snapshot)
    windows = WindowSearch(index)
    overlap = None
    if direction is not None:
        from corpus_audit.embeddings.models.directions import read_direction

        query = read_direction(direction)
        found = windows.nearest(query, k, kind="peak", domain=domain, per_document=per_document)
        overlap = windows.overlap()
    elif document is not None:
        query, keys = windows.like(document)
        found = windows.nearest(query, k, domain=domain, per_document=per_document, without=keys)
    else:
        try:
            from corpus_audit.embeddings.scan.encoder import open_encoder
        except ModuleNotFoundError as error:
            raise UsageError(f"{error.name} is not installed: pip install 'corpus-audit[embeddings]'") from None
        with open_encoder(index.facts, index.folder, model) as encoder:
            query = encoder.means([text or ""])[0]
        if not query.any():
            raise UsageError("the text has no token that the model counts")
        found = windows.nearest(query, k, domain=domain, per_document=per_document)
    if as_json:
        shown = None if overlap is None else {
            "dimensions": overlap.dimensions, "k": overlap.k, "share": overlap.share,
            "lowest": overlap.lowest, "highest": overlap.highest,
        }  # fmt: skip
        examples = [example_json(example) for example in found]
        emit_json("search", {"index": str(index.folder), "ranked_by": "cosine", "windows": windows.windows,
                             "examples": examples, "overlap_with_top_activations": shown})  # fmt: skip
        return
    if index.facts.vectors is not None and index.facts.vectors["one_in"] > 1:
        note(f"corpus-audit: one window in {index.facts.vectors['one_in']} has vectors; only those are searched")
    write_out(f"Nearest of {windows.windows:,} windows, each with its cosine")
    view = View(width_on_stdout(), terminal_has_colours(colour_on_stdout()))
    if direction is not None:
        write_out(_label(overlap, windows.block, direction, view.width))
    for line in example_lines(found, view, 1.0 if direction is not None else None):
        write_out(line)


def _label(overlap: Overlap | None, block: int, direction: str, width: int) -> str:
    """What a list of nearest windows of a direction is, and what it is not."""
    said = "A window stands for its token of largest norm (marked): these are not top activations. "
    if overlap is None:
        said += f"How far the two are apart is not known: no residual dimension of block {block} is indexed."
        return textwrap.fill(said, width)
    said += (
        f"Of {overlap.dimensions} residual dimensions of block {block}, the nearest {overlap.k} windows hold "
        f"{overlap.share:.0%} of the true top {overlap.k} (from {overlap.lowest:.0%} to {overlap.highest:.0%}). "
        "The true list comes from:"
    )
    file = direction.rpartition(":")[0] if direction.rpartition(":")[2].isdigit() else direction
    return f"{textwrap.fill(said, width)}\ncorpus-audit index AUDIT --directions {safe_text(file)}:{block}"
