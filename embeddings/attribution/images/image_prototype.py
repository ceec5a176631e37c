"""A synthetic image that maximises a unit of a loaded model, beside real images, and its files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corpus_audit.embeddings.attribution.images import drawing
from corpus_audit.embeddings.attribution.images.methods.maximisation import MaximisationSettings, Maximised, maximise
from corpus_audit.embeddings.attribution.images.model_unit import as_input, highest, of_colours
from corpus_audit.embeddings.attribution.images.run import pixels_of, read_bytes
from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.images.reading import read_maps
from corpus_audit.embeddings.index.stored_results import digest_of, library_versions
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.units import Kind, Unit, parse_unit

FORMAT = "corpus-audit/image-prototype/1"


@dataclass(frozen=True)
class ImagePrototype:
    """A synthetic image and what was measured of it.

    Attributes:
        pixels: uint8 [h, w, 3].
        value: the unit's activation on these pixels.
        held_out: mean activation under transforms that the search has not seen.
        of_class: of a logit, the share of these transforms under which its class has the highest logit; else None.
        images: names of real images and the unit's activation on them, highest first.
        provenance: everything that decides the image.
        files: PNG and safetensors.
    """

    pixels: np.ndarray
    value: float
    held_out: float
    of_class: float | None
    images: list[tuple[str, float]]
    provenance: dict[str, Any]
    files: tuple[Path, Path]


def prototype_image(
    model: ImageModel,
    unit: str | Unit,
    output: Path,
    settings: MaximisationSettings,
    images: Sequence[Path] = (),
    say: Callable[[str], None] = lambda _: None,
    known: Sequence[tuple[str, float]] = (),
) -> ImagePrototype:
    """Search an image that maximises a unit (of a convolution, the highest activation of its map), and write it.

    Args:
        model: the model.
        unit: its address.
        output: a folder for the files; it is made.
        settings: of the search.
        images: real images to compare with.
        say: is called with a line when the search begins.
        known: names and activations of further real images, such as an index's examples.

    Raises:
        UsageError: there is no such unit, or an image cannot be used.
    """
    address = parse_unit(unit) if isinstance(unit, str) else unit
    function = highest(model, address)
    real = [(path.name, _value(model, function, pixels_of(path.name, read_bytes(path)))) for path in images]
    say(f"running {model.name} to search an image for {address}: {settings.steps} steps")
    maximised = maximise(lambda colours: function(of_colours(model, colours)), (3, *model.input_size), settings)
    pixels = np.rint(maximised.image.permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
    inputs = of_colours(model, torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
    with torch.no_grad():
        value = float(function(inputs.to(model.device))[0])
    provenance = {
        "format": FORMAT,
        "synthetic": True,
        "unit": str(address),
        "parameters": asdict(settings),
        "model": {"name": model.name, "digest": model.digest},
        "versions": library_versions(),
    }
    stem = f"prototype-{str(address).replace(':', '.')}-{digest_of(provenance)[:12]}"
    result = ImagePrototype(
        pixels,
        value,
        float(maximised.held_out.mean()),
        _of_class(model, address, maximised),
        sorted([*real, *known], key=lambda each: -each[1]),
        provenance,
        (output / f"{stem}.png", output / f"{stem}.safetensors"),
    )
    _write(result, maximised)
    return result


def _value(model: ImageModel, function: Callable[[torch.Tensor], torch.Tensor], pixels: np.ndarray) -> float:
    with torch.no_grad():
        return float(function(as_input(model, pixels)[None])[0])


def _of_class(model: ImageModel, unit: Unit, maximised: Maximised) -> float | None:
    if unit.point.kind is not Kind.LOGIT:
        return None
    point = model.units.of(unit.point)
    with torch.no_grad():
        logits = read_maps(model, of_colours(model, maximised.transformed), [point])[point]
    return float((logits.argmax(dim=1) == unit.index).float().mean())


def _write(result: ImagePrototype, maximised: Maximised) -> None:
    from safetensors.numpy import save

    image = np.ascontiguousarray(maximised.image.cpu().numpy())
    figures = {
        "value": result.value,
        "held_out": maximised.held_out.tolist(),
        "of_class": result.of_class,
        "pixels_sha256": hashlib.sha256(result.pixels.tobytes()).hexdigest(),
    }
    text = strict_json.dumps({"provenance": result.provenance, "figures": figures}).decode()
    result.files[0].parent.mkdir(parents=True, exist_ok=True)
    atomic_write(result.files[0], drawing.encode_png(result.pixels, text))
    atomic_write(result.files[1], save({"image": image}, {"corpus-audit": text}))
