"""``corpus-audit attribute``: attribute a unit's activation to tokens of an example, or pixels of an image."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corpus_audit.runners.cli.shared.image_options import (
    IMAGE_METHODS,
    ImageRequest,
    attribute_images,
    attribute_indexed,
    output_option,
)
from corpus_audit.runners.cli.shared.index_options import audit_option, index_option, model_option, snapshot_option
from corpus_audit.runners.cli.shared.output import colour_on_stdout, emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.streams import note, write_out

if TYPE_CHECKING:
    from corpus_audit.embeddings.index.reader import Example, Index

_METHODS = ("integrated_gradients", "occlusion", "gradient_x_input", "saliency")


@click.command(short_help="Show which tokens of an example, or pixels of an image, make a unit fire.")
@click.argument("unit")
@click.option("--example", type=click.IntRange(min=1), help="The N-th of the unit's strongest examples; 1 by default.")
@click.option("--text", help="A text of your own, instead of an example.")
@click.option("--domain", "domains", multiple=True,
              help="Sum over the strongest examples of this domain; may be given several times.")  # fmt: skip
@click.option("--min", "lowest", is_flag=True, help="The lowest activations instead of the highest.")
@click.option("--method", type=click.Choice((*_METHODS, *IMAGE_METHODS)), default=_METHODS[0], show_default=True,
              help="The method; the last four are of images.")  # fmt: skip
@click.option("--baseline", type=click.Choice(("auto", "mask", "mean", "zero", "black", "white")), default="auto",
              show_default=True,
              help="Input without content: of texts mask, mean or zero, of images mean, black or white.")  # fmt: skip
@click.option("--k", "k", type=click.IntRange(1, 1000), default=20, show_default=True,
              help="With --domain or --images: maximum number of examples of each domain.")  # fmt: skip
@click.option("--checked", type=click.IntRange(min=0),
              help="Examples whose order and weights are checked; by default 1, with --domain of texts 3.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the checks.")
@click.option("--image", type=click.Path(path_type=Path), help="Of an image model: the image, a file.")
@click.option("--images", type=click.Path(path_type=Path),
              help="Of an image model: a folder whose subfolders are domains; at most --k images of each.")  # fmt: skip
@click.option("--layer", help="With grad_cam: name of the module whose feature maps it weighs; the last by default.")
@click.option("--patch", type=click.IntRange(0), default=0,
              help="With occlusion of images: a patch's side in pixels; by default a seventh of its side.")  # fmt: skip
@click.option("--stride", type=click.IntRange(0), default=0,
              help="With occlusion of images: from one patch to the next; half a patch by default.")  # fmt: skip
@output_option
@index_option
@snapshot_option
@audit_option
@model_option
@json_option
def attribute(
    unit: str,
    example: int | None,
    text: str | None,
    domains: tuple[str, ...],
    lowest: bool,
    method: str,
    baseline: str,
    k: int,
    checked: int | None,
    seed: int,
    image: Path | None,
    images: Path | None,
    layer: str | None,
    patch: int,
    stride: int,
    output: Path,
    path: Path,
    snapshot: str | None,
    audit: Path | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Attribute the activation of UNIT at its peak to the tokens of an example of the corpus, or of a text.

    The result is kept in a file beside the index, and a second call reads it from there. What each method computes and
    what its checks mean is on the page of embeddings/attribution.

    With --image or --images and --model, UNIT is one of an image model (conv.MODULE:CHANNEL, logit:CLASS) and its
    activation is attributed to pixels: embeddings/attribution/images. So it is with an index of images and --audit,
    whose corpus holds the images of the examples.
    """
    request = ImageRequest(
        unit, image, images, tuple(dict.fromkeys(domains)), k, method, baseline, layer, patch, stride,
        1 if checked is None else checked, seed, output, model,
    )  # fmt: skip
    if image is not None or images is not None:
        _check_of_images(image, images, example, text, lowest)
        attribute_images(request, as_json)
        return
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.attribution.attribute import attribute as attributed
    from corpus_audit.embeddings.attribution.domains import by_domain
    from corpus_audit.embeddings.attribution.methods.names import FACTS, BaselineToken, Method
    from corpus_audit.embeddings.attribution.results import attributed_json
    from corpus_audit.embeddings.attribution.settings import AttributionSettings
    from corpus_audit.embeddings.images.card import is_of_images
    from corpus_audit.runners.terminal.attribution import attribution_lines
    from corpus_audit.runners.terminal.heat_map import terminal_has_colours
    from corpus_audit.runners.terminal.lookup import View
    from corpus_audit.schemas.errors import UsageError

    try:
        index = open_index(path, snapshot)
    except UsageError:
        _check_of_texts(request)
        raise
    if is_of_images(index.facts.model):
        if text is not None or lowest or (domains and example is not None):
            raise UsageError("of an index of images there is --example or --domain, and no --text or --min")
        attribute_indexed(request, index, example, audit, as_json)
        return
    _check_of_texts(request)
    if (example is not None) + (text is not None) + bool(domains) > 1:
        raise UsageError("--example, --text and --domain exclude each other")
    domains = tuple(dict.fromkeys(domains))
    examples = [] if text is not None else _examples(index, unit, example or 1, domains, k, lowest)
    most = checked if checked is not None else 3 if domains else 1
    settings = AttributionSettings(Method(method), BaselineToken(baseline), checked=most, seed=seed, lowest=lowest)
    result = attributed(
        index, unit, examples, text, settings, audit, model, say=lambda line: note(f"corpus-audit: {line}")
    )
    together = by_domain(result.examples, domains, Method(method))
    if as_json:
        emit_json("attribution", {
            "unit": unit, "index": str(index.folder), "method": method, "caveat": FACTS[Method(method)].caveat,
            "file": str(result.path), "cached": result.cached, "provenance": result.provenance,
            "examples": [attributed_json(each) for each in result.examples],
            "domains": [asdict(each) for each in together],
        })  # fmt: skip
        return
    view = View(width_on_stdout(), terminal_has_colours(colour_on_stdout()))
    for line in attribution_lines(index, unit, result, together, view):
        write_out(line)
    write_out(f"{'File':14}{result.path}{' (computed before)' if result.cached else ''}")


def _check_of_images(
    image: Path | None, images: Path | None, example: int | None, text: str | None, lowest: bool
) -> None:
    from corpus_audit.schemas.errors import UsageError

    if image is not None and images is not None:
        raise UsageError("--image and --images exclude each other")
    if example is not None or text is not None or lowest:
        raise UsageError("--example, --text and --min are of texts, not of --image and --images")


def _check_of_texts(request: ImageRequest) -> None:
    from corpus_audit.schemas.errors import UsageError

    if request.method in IMAGE_METHODS:
        raise UsageError(f"{request.method} is a method for images: give --image FILE and --model")
    if request.baseline in ("black", "white"):
        raise UsageError(f"--baseline {request.baseline} is of images; of texts there are auto, mask, mean and zero")
    if request.layer is not None or request.patch or request.stride:
        raise UsageError("--layer, --patch and --stride are of images: give --image FILE and --model")


def _examples(index: Index, unit: str, number: int, domains: tuple[str, ...], k: int, lowest: bool) -> list[Example]:
    """The examples that are attributed: the strongest of some domains, or one of the unit's list.

    Raises:
        UsageError: there is none.
    """
    from corpus_audit.embeddings.attribution.domains import domain_examples
    from corpus_audit.schemas.errors import UsageError

    if domains:
        examples = domain_examples(index, unit, domains, k, lowest)
    else:
        examples = index.lookup(unit, which="minima" if lowest else "top", k=number)[number - 1 :]
        if not examples and number > 1:
            raise UsageError(f"the list of {unit} has fewer than {number} examples")
    if not examples and lowest:
        raise UsageError(f"{unit} has no example there: the index lists none of its lowest activations")
    if not examples:
        raise UsageError(f"{unit} has no example there: it never fires above its floor")
    return examples
