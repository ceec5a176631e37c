"""The image model of an index, loaded again, and the vector that it gives a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from corpus_audit.embeddings.images.model import ImageModel, is_image_model, load_image_model
from corpus_audit.embeddings.images.pooled import find_pooled
from corpus_audit.embeddings.images.reading import run_reading
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.schemas.errors import UsageError


def open_image_model(index: Index, name: str | None = None) -> ImageModel:
    """The model of an index, in the memory of the CPU.

    Args:
        index: of an image model.
        name: as the audit names models, if the model has moved since the index was made; a folder's relative path is
            resolved from the working directory, and that of the index also from the folders above the index.

    Raises:
        UsageError: there is no such model, or it is not the one of the index.
    """
    named = name or str(index.facts.model["name"])
    bases = [Path.cwd(), *(() if name else index.folder.resolve().parents)]
    base = next((base for base in bases if (base / named).expanduser().is_dir()), Path.cwd())
    if not (is_image_model(named, base) or named.startswith("entry-point:")):
        raise UsageError(f"the model of the index, {named}, is not there: give its folder with --model")
    model = load_image_model(named, base)
    if model.digest != index.facts.model["digest"]:
        raise UsageError(f"{named} is not the model of the index: its digest is another one")
    return model


def picture_vector(index: Index, model: ImageModel, pixels: np.ndarray) -> np.ndarray:
    """The vector that an image of these pixels has in an index, float32 [d], before it is divided by its length.

    Args:
        index: has vectors.
        model: the model of the index.
        pixels: uint8 [H, W, 3], RGB.

    Raises:
        UsageError: the model's vectors are not those of the index.
    """
    point = find_pooled(model.trace)
    stored = (index.facts.vectors or {}).get("read")
    if isinstance(point, str) or point.read != stored:
        raise UsageError(f"the vectors of the index are {stored}, which this model does not have")
    vectors: list[torch.Tensor] = []
    with torch.inference_mode():
        inputs = model.preprocess(pixels)[None].to(model.device)
        run_reading(model, inputs, (), lambda *_: None, {point.key: lambda v: vectors.append(point.vectors(v).clone())})
    read: np.ndarray = vectors[0][0].cpu().numpy()
    return read
