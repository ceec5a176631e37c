"""From the pixels of an image to what a model reads: resizing, the crop, and normalisation; and back from boxes.

The steps are those of the Pillow image processors of `transformers`, with the same rounding, so that a model sees
what it sees there; torchvision is not needed. Everything that changes a number is in `Preprocessing`, and its digest is
part of what identifies an index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from corpus_audit.schemas.errors import UsageError

if TYPE_CHECKING:  # an index is read, and contact sheets are drawn, without torch
    import torch


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the model's input lies in an image: x_image = (x_input + left) * scale_x, for edges of pixels.

    Attributes:
        left, top: of the crop within the resized image, in pixels; negative where the crop is padded.
        scale_x, scale_y: pixels of the image to one of the resized image.
        width, height: of the image.
    """

    left: int
    top: int
    scale_x: float
    scale_y: float
    width: int
    height: int

    def to_image(self, left: int, top: int, right: int, bottom: int) -> tuple[int, int, int, int]:
        """The smallest box of whole pixels of the image that covers a box of the input (right and bottom excluded)."""
        x0, x1 = (left + self.left) * self.scale_x, (right + self.left) * self.scale_x
        y0, y1 = (top + self.top) * self.scale_y, (bottom + self.top) * self.scale_y
        corners = np.floor([x0, y0]).astype(int).tolist() + np.ceil(np.array([x1, y1]) - 1e-9).astype(int).tolist()
        limits = (self.width, self.height, self.width, self.height)
        clipped = [min(max(value, 0), limit) for value, limit in zip(corners, limits, strict=True)]
        return clipped[0], clipped[1], clipped[2], clipped[3]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes the input of a model.

    Attributes:
        shortest_edge: the shorter side after resizing, the ratio kept; None: `resize` says both.
        resize: height and width after resizing, the ratio not kept; None with `shortest_edge`, or for no resizing.
        crop: height and width of the crop from the middle; None: no crop.
        resample: Pillow's number of the filter: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming.
        scale: each value is multiplied by it.
        mean, std: of each channel, after scaling; subtracted, divided by.
        rounding: whose rounding is applied, ``transformers`` or ``torchvision``: of the middle of an image, and of the
            scale, which torchvision divides by (it is 1 / 255 there).
    """

    shortest_edge: int | None = None
    resize: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    resample: int = 2
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    rounding: Literal["transformers", "torchvision"] = "transformers"

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the model's input, which must be the same for every image.

        Raises:
            UsageError: it depends on the image.
        """
        size = self.crop or self.resize
        if size is None:
            raise UsageError("the image processor gives inputs of different sizes (no crop, no fixed height and width)")
        return size

    @property
    def digest(self) -> str:
        """SHA-256 of all settings."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def geometry(self, height: int, width: int) -> Geometry:
        """Where the input lies in an image of a height and width."""
        resized = self._resized(height, width)
        crop = self.crop or resized
        # As `center_crop` of transformers: the smaller half is above and left, or the larger where it pads.
        top, left = ((r - c) // 2 if r >= c else -((c - r + 1) // 2) for r, c in zip(resized, crop, strict=True))
        if self.rounding == "torchvision":  # halves to the even number; it is never smaller than its crop
            top, left = (round((r - c) / 2) for r, c in zip(resized, crop, strict=True))
        return Geometry(left, top, width / resized[1], height / resized[0], width, height)

    def cropped(self, pixels: np.ndarray) -> np.ndarray:
        """The model's input as an image, uint8 [h, w, 3], before scaling and normalisation; pixels: uint8 [H, W, 3]."""
        from PIL import Image

        geometry = self.geometry(*pixels.shape[:2])
        height, width = self._resized(*pixels.shape[:2])
        if (height, width) != pixels.shape[:2]:
            image = Image.fromarray(pixels).resize((width, height), resample=Image.Resampling(self.resample))
            pixels = np.asarray(image)
        if self.crop is None:
            return pixels
        top, left, (h, w) = geometry.top, geometry.left, self.crop
        inside = pixels[max(top, 0) : top + h, max(left, 0) : left + w]
        if inside.shape[:2] == (h, w):
            return inside
        padded = np.zeros((h, w, 3), np.uint8)
        padded[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]] = inside
        return padded

    def __call__(self, pixels: np.ndarray) -> torch.Tensor:
        """The model's input, float32 [3, h, w]; pixels: uint8 [H, W, 3], RGB."""
        import torch

        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values = self.cropped(pixels).astype(np.float32)
        if self.rounding == "torchvision":
            values = values / np.float32(1 / self.scale)
        else:
            values = values * np.float32(self.scale)
        values = (values - mean) / std
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.resize is not None:
            return self.resize
        if self.shortest_edge is None:
            return height, width
        short, long = sorted((height, width))
        other = int(self.shortest_edge * long / short)
        return (self.shortest_edge, other) if height <= width else (other, self.shortest_edge)


_TYPES: dict[str, dict[str, Any]] = {
    "ViT": {"size": {"height": 224, "width": 224}, "resample": 2, "do_center_crop": False},
    "ConvNext": {"size": {"shortest_edge": 384}, "resample": 3, "do_center_crop": False},
    "MobileNetV1": {"size": {"shortest_edge": 256}, "resample": 2, "do_center_crop": True},
    "MobileNetV2": {"size": {"shortest_edge": 256}, "resample": 2, "do_center_crop": True},
    "Bit": {"size": {"shortest_edge": 224}, "resample": 3, "do_center_crop": True},
}
"""Defaults of the image processors of `transformers` that are applied here, by the beginning of their names."""

_HANDLED = frozenset(
    (
        *("do_resize", "size", "resample", "do_center_crop", "crop_size", "crop_pct", "do_rescale", "rescale_factor"),
        *("do_normalize", "image_mean", "image_std"),
        *("image_processor_type", "feature_extractor_type", "processor_class"),
    )
)
_WITHOUT_EFFECT = frozenset(
    ("return_tensors", "data_format", "input_data_format", "device", "default_to_square", "disable_grouping")
)
"""Keys of preprocessor_config.json that change no number; of the last, `size` says which."""


def read_preprocessor(config: Mapping[str, Any]) -> Preprocessing:
    """The steps that a ``preprocessor_config.json`` of `transformers` asks for.

    Raises:
        UsageError: it is of another image processor, or has a setting that is not applied here; the message names it.
    """
    name = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    kind = next(
        (kind for kind in _TYPES if name.startswith((f"{kind}ImageProcessor", f"{kind}FeatureExtractor"))), None
    )
    if kind is None:
        known = ", ".join(f"{kind}ImageProcessor" for kind in _TYPES)
        raise UsageError(f"the image processor {name or 'without a name'} is not applied here; known: {known}")
    for key, value in config.items():
        if key not in _HANDLED | _WITHOUT_EFFECT and value not in (None, False, "channels_first"):
            raise UsageError(f"preprocessor_config.json: {key} = {value!r} is not applied here")
    settings = _TYPES[kind] | {key: value for key, value in config.items() if value is not None}
    edge, resize = _sizes(kind, settings)
    crop = _pair(settings.get("crop_size", 224)) if settings["do_center_crop"] else None
    if kind == "ConvNext" and edge is not None:
        square = edge, edge
        if edge < 384:  # resized to more, and the middle of that
            crop, edge = square, int(edge / float(settings.get("crop_pct", 224 / 256)))
        else:
            edge, resize = None, square
    scale = float(settings.get("rescale_factor", 1 / 255)) if settings.get("do_rescale", True) else 1.0
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if settings.get("do_normalize", True):
        mean, std = (_triple(settings.get(key, [0.5] * 3), key) for key in ("image_mean", "image_std"))
    return Preprocessing(edge, resize, crop, int(settings["resample"]), scale, mean, std)


def _sizes(kind: str, settings: Mapping[str, Any]) -> tuple[int | None, tuple[int, int] | None]:
    """The shortest edge, or height and width, that ``size`` says; neither without resizing."""
    if not settings.get("do_resize", True):
        return None, None
    size = settings["size"]
    if isinstance(size, int):
        return (None, (size, size)) if kind == "ViT" else (size, None)
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return int(size["shortest_edge"]), None
    if isinstance(size, Mapping) and set(size) == {"height", "width"}:
        return None, (int(size["height"]), int(size["width"]))
    raise UsageError(f"preprocessor_config.json: size = {size!r} is not applied here")


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and set(size) == {"height", "width"}:
        return int(size["height"]), int(size["width"])
    raise UsageError(f"preprocessor_config.json: crop_size = {size!r} is not applied here")


def _triple(value: Any, key: str) -> tuple[float, float, float]:
    values = [float(value)] * 3 if isinstance(value, int | float) else [float(each) for each in value]
    if len(values) != 3:
        raise UsageError(f"preprocessor_config.json: {key} has {len(values)} numbers, not three: only RGB is read")
    return values[0], values[1], values[2]
