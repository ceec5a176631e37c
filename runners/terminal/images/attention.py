"""What ``attention`` prints of a vision transformer's head on an image: patches, and the checks."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus_audit.checks.text.safe_text import fit, safe_text

if TYPE_CHECKING:
    from corpus_audit.embeddings.attention.images.results import HeadResult

PATCHES = 5
"""Patches that are listed."""


def head_image_lines(result: HeadResult, width: int) -> Iterator[str]:
    """Lines for a terminal."""
    head, provenance = result.head, result.provenance
    yield fit(f"{provenance['unit']}  {safe_text(provenance['image']['name'])}", width).rstrip()
    yield fit(f"model {safe_text(provenance['model']['name'])}, {provenance['model']['digest'][:12]}", width).rstrip()
    of = "the class token" if head.query is None else f"the patch at row {head.query[0]}, column {head.query[1]}"
    yield f"Seen from {of}, where the head writes {head.value:.4f}"
    yield ""
    yield f"{'Patch, from 0':24} {'attention':>10} {'writes':>10}"
    columns = head.attention.shape[1]
    for at in np.argsort(-head.attention, axis=None, kind="stable")[:PATCHES].tolist():
        y, x = divmod(at, columns)
        yield f"{f'row {y}, column {x}':24} {head.attention[y, x]:10.1%} {head.written[y, x]:10.4f}"
    more = f", {sum(head.others):.1%} on tokens that are no patches" if head.others else ""
    yield from textwrap.wrap(f"{head.attention.sum():.1%} is on the {head.attention.size:,} patches{more}.", width)
    yield ""
    yield "Checks"
    yield f"rows          sum to 1 within {head.row_error:.1e}"
    yield f"values        weights times values are what the attention computes, within {head.error:.1e}"
    yield f"parts         of all heads and the bias make what it writes, within {head.sum_error:.1e}"
    limits = (
        "Limits        a weight says what a head reads from, not what the model's output depends on: see attribute."
    )
    yield from textwrap.wrap(limits, width, subsequent_indent=" " * 14)


def head_image_json(result: HeadResult) -> dict[str, Any]:
    """A result as plain values."""
    head = result.head
    return {
        "provenance": result.provenance,
        "figures": result.figures(),
        "attention": head.attention.tolist(),
        "written": head.written.tolist(),
        "files": [str(path) for path in result.files],
    }
