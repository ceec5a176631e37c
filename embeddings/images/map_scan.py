"""Runs an image model over images: one pass feeds the examples and statistics of all units.

1. A unit's activation on an image is the highest of its map. Each map is reduced to it while it is in the cache, and
   nothing else of it is kept. Where in the map it is (the first position, y * width + x) is looked up only for pairs of
   an image and a unit that enter a list: of N images, about k (1 + ln(N / k)) a unit and list.
2. An image counts once, whatever the size of a map: rates are shares of images in which a unit's highest activation is
   above 0, means are means of highest activations, and minima are the images that excite a unit least.
3. Every batch has the same shape: the last one is filled up with repeats. So on one machine an image's values depend on
   neither its neighbours nor how the corpus is split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from corpus_audit.embeddings.images.conv_units import ConvPoint
from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.images.reading import run_reading
from corpus_audit.embeddings.models.selection import Selection
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, BatchRows, Highest, Lowest
from corpus_audit.pipelines.kernels.activations.maps import first_positions, mark_entering, mark_samples
from corpus_audit.schemas.errors import AuditError


@dataclass(frozen=True, slots=True)
class ImageInput:
    """An image, ready for the model.

    Attributes:
        inputs: float32 [3, h, w].
        window: its name, a hash.
        context: hash of its file: of files with the same bytes only one is an example of a unit.
        domain: position among the accumulator's domains; group: hash group of its document.
    """

    inputs: torch.Tensor
    window: int
    context: int
    domain: int
    group: int


class MapScanner:
    """Adds the activations of images to an accumulator, batch by batch; call `finish` at the end.

    Args:
        model: the model.
        selection: its units.
        into: where examples and statistics go.
        batch: images of a batch.
    """

    def __init__(self, model: ImageModel, selection: Selection, into: ActivationAccumulator, batch: int) -> None:
        self._model, self._selection, self._into, self._batch = model, selection, into, batch
        self._rows = {str(point): row for point, row in selection.first_rows().items()}
        self._points = [model.units.of(point) for point in selection.indices]
        self._positions = max((point.height * point.width for point in self._points), default=1)
        self._waiting: list[ImageInput] = []

    def add(self, image: ImageInput) -> None:
        """Add an image; the model runs when a batch is full."""
        self._waiting.append(image)
        if len(self._waiting) == self._batch:
            self.finish()

    def finish(self) -> None:
        """Run what waits, filled up to a whole batch.

        Raises:
            AuditError: an activation is not a finite number.
        """
        if not self._waiting:
            return
        images, self._waiting = self._waiting, []
        filled = images + [images[-1]] * (self._batch - len(images))
        rows = self._batch_rows(images)
        self._into.count_windows(rows)
        inputs = torch.stack([image.inputs for image in filled]).to(self._model.device)
        with torch.inference_mode():
            run_reading(self._model, inputs, self._points, lambda point, values: self._reduce(rows, point, values))

    def _batch_rows(self, images: Sequence[ImageInput]) -> BatchRows:
        context = np.array([image.context for image in images], np.uint64)
        return BatchRows(
            window=np.array([image.window for image in images], np.uint64),
            domain=np.array([image.domain for image in images], np.int64),
            group=np.array([image.group for image in images], np.int64),
            counted=np.ones((len(images), 1), np.bool_),
            contexts=np.repeat(context[:, None], self._positions, axis=1),
        )

    def _reduce(self, rows: BatchRows, point: ConvPoint, values: torch.Tensor) -> None:
        """Reduce a point's values, [B, C, h, w] or [B, C], and add them; the filling at the end is left out."""
        indices, name = self._selection.indices[point.point], str(point.point)
        maps = values[: len(rows.window)].reshape(len(rows.window), point.channels, -1)
        every = len(indices) == point.channels
        peaks = maps.amax(2) if maps.shape[2] > 1 else maps[:, :, 0]
        if not every:
            peaks = peaks[:, torch.from_numpy(indices).to(peaks.device)]
        peak = np.ascontiguousarray(peaks.float().cpu().numpy())
        if not np.isfinite(peak).all():
            raise AuditError(f"the model gives activations that are not finite numbers ({name})")
        row = self._rows[name]
        at = np.zeros(peak.shape, np.int32)
        if maps.shape[2] > 1:
            b, u = np.nonzero(self._marked(rows, row, peak))
            at[b, u] = _positions(maps, b, indices[u], peak[b, u])
        self._into.add_highest(rows, row, Highest(peak, at, peak, (peak > 0).astype(np.int32)), name)
        self._into.add_lowest(rows, row, Lowest(peak, at), name)
        self._into.add_histogram(row, peak[:, None, :], rows.counted)

    def _marked(self, rows: BatchRows, row: int, peak: np.ndarray) -> np.ndarray:
        """Pairs of an image and a unit that enter a list, bool [B, U]; a few more, as a batch's own images compete."""
        into, marked = self._into, np.zeros(peak.shape, np.bool_)
        everything = np.arange(len(rows.window))
        lists = [(everything, 1.0, into.top)] + [(everything, -1.0, into.minima)] * (into.sizes.minima > 0)
        if into.sizes.domain:
            lists += [(np.flatnonzero(rows.domain == d), 1.0, into.by_domain[d]) for d in np.unique(rows.domain)]
        for selected, sign, each in lists:
            mark_entering(selected, peak, rows.window, row, sign, each.value, each.window, marked)
        if into.sizes.samples:
            mark_samples(peak, rows.window, row, into.samples.window, marked)
        return marked


def _positions(maps: torch.Tensor, images: np.ndarray, channels: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """The first position of the peak in maps, int32 [P]; a part at a time, so that copies stay small."""
    out = np.zeros(len(images), np.int32)
    step = max(1, (1 << 22) // maps.shape[2])
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        pairs = (torch.from_numpy(each[part]).to(maps.device) for each in (images, channels))
        copied = maps[tuple(pairs)].float().cpu().numpy()
        first_positions(copied, peak[part], out[part])
    return out


def scan_images(
    model: ImageModel, selection: Selection, images: Iterable[ImageInput], into: ActivationAccumulator, batch: int
) -> None:
    """Add the activations of images to an accumulator; arguments and errors as for `MapScanner`."""
    scanner = MapScanner(model, selection, into, batch)
    for image in images:
        scanner.add(image)
    scanner.finish()


def iterate_inputs(
    model: ImageModel, pixels: Iterable[np.ndarray], names: Iterable[tuple[int, int, int, int]]
) -> Iterator[ImageInput]:
    """Inputs of images as arrays, uint8 [H, W, 3]; ``names``: window, context, domain and group of each."""
    for each, (window, context, domain, group) in zip(pixels, names, strict=True):
        yield ImageInput(model.preprocess(each), window, context, domain, group)
