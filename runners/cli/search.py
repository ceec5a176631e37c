"""``corpus-audit search``: find windows near a text, a document or a direction, or images near an image."""

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
    from corpus_audit.embeddings.index.reader import Example, Index
    from corpus_audit.embeddings.lookup.search import Overlap, WindowSearch


@click.command(short_help="Find windows near a text, a document or a direction, or images near an image.")
@click.argument("text", required=False)
@click.option("--like", "document", metavar="DOC_ID|IMAGE", help="Search near this document, which is not shown; in an "
              "index of images, near a document or an image file.")  # fmt: skip
@click.option("--direction", metavar="FILE[:ROW]", help="Search near a vector of a .npy or .safetensors file.")
@index_option
@snapshot_option
@click.option("--domain", help="Search only documents of this domain.")
@click.option(
    "--k", "k", type=click.IntRange(1, 1000), default=10, show_default=True, help="Maximum number of results."
)
@click.option("--per-document", type=click.IntRange(min=1), help="Maximum number shown from one document.")
@click.option("--model", help="Path of the model, if it has moved since indexing.")
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
    """Show the windows nearest to TEXT in meaning, by exact cosine between vectors of the model of the index.

    In an index of images, --like shows the images nearest to an image, by what the model's last layer reads of them.

    The windows nearest to a direction are not those with its highest activations; search reports how far the two lists
    differ on the index. 'corpus-audit index AUDIT --directions FILE:BLOCK' finds the highest activations.
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
    if index.facts.of_images:
        if text is not None:
            raise UsageError("the index is of an image model, which reads no text: give --like with an image")
        from corpus_audit.runners.cli.shared.image_search import query_of, show_nearest

        query = query_of(index, windows, document, direction, model)
        show_nearest(index, windows, query, k, domain, per_document, as_json)
        return
    nearest = _nearest(index, windows, text, document, direction, model, k, domain, per_document)
    overlap = windows.overlap() if direction is not None else None
    if as_json:
        shown = None if overlap is None else {
            "dimensions": overlap.dimensions, "k": overlap.k, "share": overlap.share,
            "lowest": overlap.lowest, "highest": overlap.highest,
        }  # fmt: skip
        examples = [example_json(example) for example in nearest]
        emit_json("search", {"index": str(index.folder), "ranked_by": "cosine", "windows": windows.windows,
                             "examples": examples, "overlap_with_top_activations": shown})  # fmt: skip
        return
    if index.facts.vectors is not None and index.facts.vectors["one_in"] > 1:
        note(f"corpus-audit: only one window in {index.facts.vectors['one_in']} has vectors and is searched")
    write_out(f"Nearest of {windows.windows:,} windows, each with its cosine")
    view = View(width_on_stdout(), terminal_has_colours(colour_on_stdout()))
    if direction is not None:
        write_out(_label(overlap, windows.block, direction, view.width))
    for line in example_lines(nearest, view, 1.0 if direction is not None else None):
        write_out(line)


def _nearest(
    index: Index,
    windows: WindowSearch,
    text: str | None,
    document: str | None,
    direction: str | None,
    model: str | None,
    k: int,
    domain: str | None,
    per_document: int | None,
) -> list[Example]:
    """The windows nearest to a text, a document or a direction, whichever is given."""
    from corpus_audit.schemas.errors import UsageError, needs_extra

    if direction is not None:
        from corpus_audit.embeddings.models.directions import read_direction

        query = read_direction(direction)
        return windows.nearest(query, k, kind="peak", domain=domain, per_document=per_document)
    if document is not None:
        query, keys = windows.like(document)
        return windows.nearest(query, k, domain=domain, per_document=per_document, without=keys)
    from corpus_audit.embeddings.lookup.queries import query_vector

    with needs_extra("embeddings"):
        query = query_vector(index, text or "", model)
    if not query.any():
        raise UsageError("the text has no token that the model counts")
    return windows.nearest(query, k, domain=domain, per_document=per_document)


def _label(overlap: Overlap | None, block: int | None, direction: str, width: int) -> str:
    """Explain how a list of the windows nearest to a direction differs from its top activations."""
    text = "A window stands for its token of largest norm (marked): these are not top activations. "
    if overlap is None:
        text += f"How far the two differ is not known: no residual dimension of block {block} is indexed."
        return textwrap.fill(text, width)
    text += (
        f"Of {overlap.dimensions} residual dimensions of block {block}, the nearest {overlap.k} windows hold "
        f"{overlap.share:.0%} of the true top {overlap.k} (from {overlap.lowest:.0%} to {overlap.highest:.0%}). "
        "The true list comes from:"
    )
    file = direction.rpartition(":")[0] if direction.rpartition(":")[2].isdigit() else direction
    return f"{textwrap.fill(text, width)}\ncorpus-audit index AUDIT --directions {safe_text(file)}:{block}"
