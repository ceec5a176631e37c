"""``attribute`` and ``prototype`` for image models: what their options come to, and what they write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.index_options import extra
from corpus_audit.runners.cli.shared.output import emit_json, width_on_stdout
from corpus_audit.runners.cli.shared.streams import note, write_out
from corpus_audit.schemas.errors import UsageError

if TYPE_CHECKING:
    from corpus_audit.embeddings.attribution.images.run import Attributor, ImageResult
    from corpus_audit.embeddings.images.model import ImageModel
    from corpus_audit.embeddings.index.reader import Example, Index

IMAGE_METHODS = ("cam", "grad_cam", "deconvolution", "guided")
"""Methods of `embeddings.attribution.images.names.ImageMethod` that texts do not have."""

output_option = click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("attributions"), show_default=True,
    help="Of images: the folder for pictures and results.",
)  # fmt: skip


@dataclass(frozen=True)
class ImageRequest:
    """What ``attribute`` was asked for, of images; the fields are its options."""

    unit: str
    image: Path | None
    images: Path | None
    domains: Sequence[str]
    k: int
    method: str
    baseline: str
    layer: str | None
    patch: int
    stride: int
    checked: int
    seed: int
    output: Path
    model: str | None


def attribute_images(request: ImageRequest, as_json: bool) -> None:
    """Attribute a unit of an image model on a file, or on the strongest files of each domain, and print the result.

    Raises:
        UsageError: options exclude each other, or as `Attributor.attribute` and `attribute_folder`.
    """
    if request.images is not None:
        _folder(_attributor(request, _model(request.model), lambda _: None), request, as_json)
        return
    if request.image is None or request.domains:
        raise UsageError("--domain needs --images FOLDER, whose subfolders are domains, or an index")
    attributor = _attributor(request, _model(request.model), _say)
    data = extra("attribution.images.run").read_bytes(request.image)
    _show(attributor.attribute(request.image.name, data, checked=request.checked > 0), as_json)


def attribute_indexed(
    request: ImageRequest, index: Index, example: int | None, audit: Path | None, as_json: bool
) -> None:
    """Attribute a unit of an index of images on one of its examples, or on those of domains, and print the result.

    Raises:
        UsageError: there is no audit or no such example, or as `indexed.attribute_examples`.
    """
    from corpus_audit.embeddings.attribution.domains import domain_examples
    from corpus_audit.pipelines.reading.snapshot.dates import fill_dates
    from corpus_audit.runners.terminal.images.attribution import example_lines
    from corpus_audit.schemas.spec.audit_file import load_audit

    if audit is None:
        raise UsageError("of an index of images --audit is needed: the images are read from the corpus again")
    number = example or 1
    if request.domains:
        examples = domain_examples(index, request.unit, request.domains, request.k)
    else:
        examples = index.lookup(request.unit, k=number)[number - 1 :]
    if not examples:
        raise UsageError(f"{request.unit} has no such example: its list has fewer than {number}")
    loaded = fill_dates(load_audit(audit))
    model = _model(request.model or str(index.facts.model["name"]), loaded.base)
    together = extra("attribution.images.indexed").attribute_examples(
        _attributor(request, model, lambda _: None), index, examples, loaded, request.checked, _say
    )
    if not request.domains:
        _show(together.examples[0].result, as_json, domain=together.examples[0].domain)
        return
    if as_json:
        emit_json("image-attribution-domains", {
            "unit": request.unit, "method": request.method, "index": str(index.folder), "missing": together.missing,
            "domains": [asdict(each) for each in together.domains],
            "standing_out": [asdict(each) for each in together.standing_out],
            "results": [
                result_json(each.result) | {"domain": each.domain, "document": each.name}
                for each in together.examples
            ],
        })  # fmt: skip
        return
    for line in example_lines(together, request.unit, request.method, width_on_stdout()):
        write_out(line)
    write_out(f"Files   {request.output}")


def _attributor(request: ImageRequest, model: ImageModel, say: Callable[[str], None]) -> Attributor:
    names = extra("attribution.images.names")
    settings = extra("attribution.images.settings").ImageSettings(
        method=names.ImageMethod(request.method), patch=request.patch, stride=request.stride, seed=request.seed
    )
    baselines = ("auto", *(str(each) for each in names.ImageBaseline))
    if request.baseline not in baselines:
        raise UsageError(f"--baseline {request.baseline} is of texts; of images there are {', '.join(baselines)}")
    baseline = names.ImageBaseline("mean" if request.baseline == "auto" else request.baseline)
    attributor: Attributor = extra("attribution.images.run").Attributor(
        model, request.unit, request.output, settings, baseline, request.layer, say
    )
    return attributor


def _show(result: ImageResult, as_json: bool, **more: str) -> None:
    """Print one attribution, or write it as JSON."""
    from corpus_audit.embeddings.attribution.images.names import FACTS, ImageMethod
    from corpus_audit.runners.terminal.images.attribution import image_attribution_lines

    if as_json:
        caveat = FACTS[ImageMethod(result.stored.provenance["method"])].caveat
        emit_json("image-attribution", result_json(result) | {"caveat": caveat, **more})
        return
    for line in image_attribution_lines(result.stored, width_on_stdout()):
        write_out(line)
    _write_files(result)


def is_image_model(name: str | None) -> bool:
    """Whether ``--model`` names an image model."""
    from corpus_audit.embeddings.images.timm_models.names import is_timm

    if name is None:
        return False
    if name.startswith("entry-point:") or is_timm(name, Path()):
        return True
    return (Path(name) / "preprocessor_config.json").is_file() or _is_import_path(name)


def prototype_of_image_model(
    unit: str,
    model: str,
    steps: int,
    seed: int,
    images: Sequence[Path],
    output: Path,
    as_json: bool,
    base: Path = Path(),
    known: Sequence[tuple[str, float]] = (),
) -> None:
    """Search an image that maximises a unit, and print what was found.

    Args:
        unit: its address.
        model: the model, relative to ``base``.
        steps, seed: of the search.
        images: files to compare with.
        output: a folder for the files.
        as_json: JSON instead of lines.
        base: the folder of the audit.
        known: names and activations of further real images, such as an index's examples.

    Raises:
        UsageError: as `image_prototype.prototype_image`.
    """
    settings = extra("attribution.images.methods.maximisation").MaximisationSettings(steps=steps, seed=seed)
    result = extra("attribution.images.image_prototype").prototype_image(
        _model(model, base), unit, output, settings, images, _say, known
    )
    if as_json:
        emit_json("image-prototype", {
            "synthetic": True, "provenance": result.provenance, "value": result.value, "held_out": result.held_out,
            "of_class": result.of_class, "images": [{"name": name, "value": value} for name, value in result.images],
            "files": [str(path) for path in result.files],
        })  # fmt: skip
        return
    from corpus_audit.runners.terminal.images.attribution import image_prototype_lines

    for line in image_prototype_lines(result, width_on_stdout()):
        write_out(line)


def example_name(example: Example) -> str:
    """The name of an example's document, with its domain."""
    from corpus_audit.embeddings.index.mapped_tables import document_name

    if not example.locations:
        return f"{example.window:016x}"
    at = example.locations[0]
    return f"{document_name(at.id, at.shard, at.row)} of {at.domain}"


def result_json(result: ImageResult) -> dict[str, Any]:
    """A result as plain values, without its arrays: those are in the first of the files."""
    from corpus_audit.embeddings.attribution.images.results import figures

    return {
        "provenance": result.stored.provenance,
        "figures": figures(result.stored.attribution),
        "target": result.stored.target,
        "shape": list(result.stored.attribution.values.shape),
        "files": [str(path) for path in result.files],
        "cached": result.cached,
    }


def _folder(attributor: Attributor, request: ImageRequest, as_json: bool) -> None:
    from corpus_audit.runners.terminal.images.attribution import folder_lines

    assert request.images is not None
    together = extra("attribution.images.folders").attribute_folder(
        attributor, request.images, request.domains, request.k, request.checked, _say
    )
    if as_json:
        emit_json("image-attribution-domains", {
            "unit": request.unit, "method": request.method,
            "images": dict(together.images), "refused": dict(together.refused),
            "domains": [asdict(each) for each in together.domains],
            "standing_out": [asdict(each) for each in together.standing_out],
            "results": [
                result_json(result) | {"domain": each.domain, "path": str(each.path)}
                for each, result in zip(together.ranked, together.results, strict=True)
            ],
        })  # fmt: skip
        return
    for line in folder_lines(together, request.unit, request.method, width_on_stdout()):
        write_out(line)
    write_out(f"Files   {request.output}")


def _write_files(result: ImageResult) -> None:
    for label, path in zip(("File", "PNG", "SVG"), result.files, strict=True):
        write_out(f"{label:14}{path}{' (computed before)' if result.cached and label == 'File' else ''}")


def _is_import_path(name: str) -> bool:
    module, colon, function = name.partition(":")
    return bool(colon) and function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _model(name: str | None, base: Path = Path()) -> Any:
    if name is None:
        raise UsageError("--image and --images need --model: a folder of an image model, or package.module:function")
    return extra("images.model").load_image_model(name, base)


def _say(line: str) -> None:
    note(f"corpus-audit: {line}")
