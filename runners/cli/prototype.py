"""``corpus-audit prototype``: search synthetic token sequences, or an image, that maximise a unit."""

from __future__ import annotations

from pathlib import Path

import click

from corpus_audit.runners.cli.shared.image_options import (
    example_name,
    is_image_model,
    output_option,
    prototype_of_image_model,
)
from corpus_audit.runners.cli.shared.index_options import audit_option, index_option, model_option, snapshot_option
from corpus_audit.runners.cli.shared.output import colour_on_stdout, emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.streams import note, write_out
from corpus_audit.schemas.errors import UsageError


@click.command(short_help="Search synthetic sequences, or an image, that maximise a unit.")
@click.argument("unit")
@click.option("--length", type=click.IntRange(1, 512), default=8, show_default=True, help="Tokens of a sequence.")
@click.option("--restarts", type=click.IntRange(1, 100), default=3, show_default=True, help="Searches.")
@click.option("--iterations", type=click.IntRange(1, 10_000), default=40, show_default=True,
              help="Maximum number of iterations of a search.")  # fmt: skip
@click.option("--candidates", type=click.IntRange(1, 4096), default=48, show_default=True,
              help="Sequences that an iteration tries.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the search.")
@click.option("--k", "k", type=click.IntRange(1, 1000), default=3, show_default=True,
              help="Maximum number of examples of the corpus that are shown.")  # fmt: skip
@click.option("--steps", type=click.IntRange(1, 10_000), default=128, show_default=True,
              help="Of an image model: steps of the search.")  # fmt: skip
@click.option("--image", "images", type=click.Path(path_type=Path), multiple=True,
              help="Of an image model: an image to compare with; may be given several times.")  # fmt: skip
@output_option
@index_option
@snapshot_option
@audit_option
@model_option
@json_option
def prototype(
    unit: str,
    length: int,
    restarts: int,
    iterations: int,
    candidates: int,
    seed: int,
    k: int,
    steps: int,
    images: tuple[Path, ...],
    output: Path,
    path: Path,
    snapshot: str | None,
    audit: Path | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Search token sequences that maximise UNIT, and show them beside its strongest examples of the corpus.

    The sequences are synthetic. The search is local: it finds a sequence with a high activation, not the highest one.

    With --model of an image model, or an index of images, a synthetic image is searched for UNIT
    (conv.MODULE:CHANNEL, logit:CLASS). Its activation stands beside those of real images: of the index's examples,
    and of those that --image names.
    """
    if is_image_model(model):
        prototype_of_image_model(unit, str(model), steps, seed, images, output, as_json)
        return
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.attribution.prototype import prototype as searched
    from corpus_audit.embeddings.images.card import is_of_images
    from corpus_audit.runners.terminal.heat_map import terminal_has_colours
    from corpus_audit.runners.terminal.lookup import View, example_json
    from corpus_audit.runners.terminal.prototype import prototype_lines

    index = open_index(path, snapshot)
    if is_of_images(index.facts.model):
        base = Path() if audit is None else audit.parent
        known = [(example_name(example), example.value) for example in index.lookup(unit, k=k, per_document=1)]
        name = model or str(index.facts.model["name"])
        prototype_of_image_model(unit, name, steps, seed, images, output, as_json, base, known)
        return
    if images:
        raise UsageError("--image needs an index of images, or --model: a folder of an image model, or code")
    examples = index.lookup(unit, k=k, per_document=1)
    settings = {"length": length, "restarts": restarts, "iterations": iterations, "candidates": candidates,
                "seed": seed}  # fmt: skip
    result = searched(index, unit, settings, audit, model, say=lambda line: note(f"corpus-audit: {line}"))
    if as_json:
        emit_json("prototype", {
            "unit": unit, "index": str(index.folder), "file": str(result.path), "cached": result.cached,
            "provenance": result.provenance, "synthetic": True, "prototypes": result.rows,
            "examples": [example_json(example) for example in examples],
        })  # fmt: skip
        return
    view = View(width_on_stdout(), terminal_has_colours(colour_on_stdout()))
    for line in prototype_lines(index, unit, result, examples, view):
        write_out(line)
    write_out(f"File    {result.path}{' (computed before)' if result.cached else ''}")
