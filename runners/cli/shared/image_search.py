"""``search`` in an index of images: what the search is near to, and its results."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.embeddings.models.directions import read_direction
from corpus_audit.runners.cli.shared.output import emit_json, width_on_stdout
from corpus_audit.runners.cli.shared.streams import note, write_out
from corpus_audit.runners.terminal.images.search import nearest_json, nearest_lines
from corpus_audit.schemas.errors import UsageError, needs_extra

if TYPE_CHECKING:
    from corpus_audit.embeddings.index.reader import Index
    from corpus_audit.embeddings.lookup.search import WindowSearch


@dataclass(frozen=True, eq=False)
class ImageQuery:
    """What a search is near to.

    Attributes:
        vector: [d], not zero.
        kind: document, file or direction; name: of it.
        without: keys of documents that are left out.
    """

    vector: np.ndarray
    kind: str
    name: str
    without: list[bytes]


def query_of(
    index: Index, windows: WindowSearch, like: str | None, direction: str | None, model: str | None
) -> ImageQuery:
    """What a search is near to; of a document and a file of the same name, the document.

    Args:
        index: of an image model.
        windows: its vectors.
        like: id of a document, or path of an image file.
        direction: FILE[:ROW], if ``like`` is None.
        model: as the audit names it, if it has moved since the index was made.

    Raises:
        UsageError: there is no such document and no such file, the file is no image, or the model is not that of the
            index.
        ModuleNotFoundError: the extra is not installed.
    """
    if like is None:
        return ImageQuery(read_direction(str(direction)), "direction", str(direction), [])
    try:
        vector, keys = windows.like(like)
    except UsageError as absent:
        if not Path(like).is_file():
            raise UsageError(f"{absent}, and there is no such file") from None
    else:
        return ImageQuery(vector, "document", like, keys)
    with needs_extra("embeddings"):
        from corpus_audit.embeddings.attribution.images.run import pixels_of, read_bytes
        from corpus_audit.embeddings.images.lookups.indexed_model import open_image_model, picture_vector
    pixels = pixels_of(like, read_bytes(Path(like)))
    vector = picture_vector(index, open_image_model(index, model), pixels)
    if not vector.any():
        raise UsageError(f"the vector of {like} is zero: it has no direction")
    return ImageQuery(vector, "file", like, [])


def show_nearest(
    index: Index,
    windows: WindowSearch,
    query: ImageQuery,
    k: int,
    domain: str | None,
    per_document: int | None,
    as_json: bool,
) -> None:
    """Print the ``k`` images nearest to a query; arguments as for `WindowSearch.nearest`."""
    nearest = windows.nearest(query.vector, k, domain=domain, per_document=per_document, without=query.without)
    facts = index.facts.vectors or {}
    if as_json:
        emit_json("image-search", {"index": str(index.folder), "ranked_by": "cosine", "images": windows.windows,
                                   "vectors": facts["read"], "query": {"kind": query.kind, "name": query.name},
                                   "examples": nearest_json(nearest)})  # fmt: skip
        return
    if facts["one_in"] > 1:
        note(f"corpus-audit: only one image in {facts['one_in']} has a vector and is searched")
    width = width_on_stdout()
    for text in (
        f"Nearest of {windows.windows:,} images to the {query.kind} {safe_text(query.name)}, each with its cosine",
        f"(vectors: {safe_text(facts['read'])}; of images with the same vector one is shown)",
    ):
        for line in textwrap.wrap(text, width, break_on_hyphens=False):
            write_out(line)
    for line in nearest_lines(nearest, width):
        write_out(line)
