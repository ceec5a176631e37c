"""Shows heads of vision transformers on images: of files, and of an index's examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.checks.text.numbers import plural
from corpus_audit.runners.cli.shared.image_options import example_name
from corpus_audit.runners.cli.shared.index_options import extra
from corpus_audit.runners.cli.shared.streams import note
from corpus_audit.schemas.errors import UsageError

if TYPE_CHECKING:
    from corpus_audit.embeddings.attention.images.results import HeadResult
    from corpus_audit.embeddings.index.reader import Example, Index
    from corpus_audit.schemas.units import Unit


def head_on_image(unit: Unit, image: Path, model: str | None, query: str | None, output: Path) -> HeadResult:
    """A head on an image file.

    Raises:
        UsageError: there is no ``--model``, or as `embeddings.attention.images.results.show_head`.
    """
    if model is None:
        raise UsageError("--image needs --model: a folder of a vision transformer, or package.module:function")
    loaded = extra("images.model").load_image_model(model)
    data = extra("attribution.images.run").read_bytes(image)
    note(f"corpus-audit: running {model}")
    result: HeadResult = extra("attention.images.results").show_head(
        loaded, unit, image.name, data, query or _default(loaded), output
    )
    return result


def head_on_examples(
    index: Index,
    unit: Unit,
    examples: Sequence[Example],
    audit: Path | None,
    model: str | None,
    query: str | None,
    output: Path,
) -> list[HeadResult]:
    """A head on examples of its index, whose images are read from the corpus again; seen from the peak by default.

    Raises:
        UsageError: there is no ``--audit``, the model is another one, the corpus holds none of the images any more, or
            the head does not write at the peak what the index holds.
    """
    from corpus_audit.embeddings.attribution.images.indexed import SAME, images_of_examples
    from corpus_audit.pipelines.reading.snapshot.dates import fill_dates
    from corpus_audit.schemas.spec.audit_file import load_audit

    if audit is None:
        raise UsageError("of an index of images --audit is needed: the images are read from the corpus again")
    spec = fill_dates(load_audit(audit))
    loaded = extra("images.model").load_image_model(model or str(index.facts.model["name"]), spec.base)
    if loaded.digest != index.facts.model["digest"]:
        raise UsageError(f"{loaded.name} is not the model of the index: its digest is another one")
    data = images_of_examples(index, examples, spec)
    if not data:
        raise UsageError("the corpus of this audit holds none of the images any more")
    note(f"corpus-audit: running {loaded.name} on {plural(len(data), 'image')}")
    show = extra("attention.images.results").show_head
    results: list[HeadResult] = []
    for number in sorted(data):
        example = examples[number]
        result = show(loaded, unit, example_name(example), data[number], query or "peak", output)
        now, stored = result.head.value, example.value
        if query in (None, "peak") and not abs(now - stored) <= SAME * max(abs(stored), 1.0):
            raise UsageError(
                f"{example_name(example)}: the head writes {now:.5g} now, and the index holds {stored:.5g}"
            )
        results.append(result)
    return results


def _default(model: object) -> str:
    """The class token where a model has one, else the peak."""
    tokens = getattr(model, "units").tokens  # noqa: B009 - the model's class needs torch
    return "class" if tokens.grid is None or tokens.grid.first else "peak"
