"""Runs an image model over images: one pass feeds the examples and statistics of all units.

1. A unit's activation on an image is the highest of its map. Each map is reduced to it while it is in the cache, and
   nothing else of it is kept. Where in the map it is (the first position, y * width + x) is looked up only for pairs of
   an image and a unit that enter a list: of N images, about k (1 + ln(N / k)) a unit and list.
2. An image counts once, whatever the size of a map: rates are shares of images in which a unit's highest activation is
   above 0, means are means of highest activations, and minima are the images that excite a unit least.
3. Of selected images the pooled vector is kept too (`pooled.py`).
4. Every batch has the same shape: the last one is filled up with repeats. So on one machine an image's values depend on
   neither its neighbours nor how the corpus is split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from corpus_audit.embeddings.images.image_units import MapPoint
from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.images.pooled import PooledPoint
from corpus_audit.embeddings.images.reading import run_reading
from corpus_audit.embeddings.images.trace import Key
from corpus_audit.embeddings.models.selection import Selection
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, BatchRows, Highest, Lowest
from corpus_audit.embeddings.scan.pooling import Pooling
from corpus_audit.pipelines.kernels.activations.maps import first_positions, mark_entering, mark_samples
from corpus_audit.schemas.errors import AuditError

LEAST_BLOCK = 96
"""Positions of a block of a map; maxima of smaller blocks cost more than the maximum of the map."""


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
        vectors: where the vectors of images are read, and what collects them; None for none.
    """

    def __init__(
        self,
        model: ImageModel,
        selection: Selection,
        into: ActivationAccumulator,
        batch: int,
        vectors: tuple[PooledPoint, Pooling] | None = None,
    ) -> None:
        self._model, self._selection, self._into, self._batch = model, selection, into, batch
        self._vectors = vectors
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
            watched: dict[Key, Callable[[torch.Tensor], None]] = {}
            if self._vectors is not None:
                watched[self._vectors[0].key] = lambda values: self._pool(rows, values)
            run_reading(
                self._model, inputs, self._points, lambda point, values: self._reduce(rows, point, values), watched
            )

    def _pool(self, rows: BatchRows, values: torch.Tensor) -> None:
        """Collect the vectors of a batch's images."""
        assert self._vectors is not None
        point, pooling = self._vectors
        selected = pooling.select(rows)
        if tuple(values.shape[1:]) != point.shape:
            raise AuditError(f"the model computes {point.read} in another way than in its trial pass")
        if len(selected):
            vectors = point.vectors(values)[torch.from_numpy(selected).to(values.device)].cpu().numpy()
            if not np.isfinite(vectors).all():
                raise AuditError(f"the model gives vectors that are not finite numbers ({point.read})")
            none, position = np.empty((len(selected), 0), np.float32), np.zeros(len(selected), np.int64)
            pooling.add(rows.window[selected], vectors, none, position)

    def _batch_rows(self, images: Sequence[ImageInput]) -> BatchRows:
        context = np.array([image.context for image in images], np.uint64)
        return BatchRows(
            window=np.array([image.window for image in images], np.uint64),
            domain=np.array([image.domain for image in images], np.int64),
            group=np.array([image.group for image in images], np.int64),
            counted=np.ones((len(images), 1), np.bool_),
            contexts=np.repeat(context[:, None], self._positions, axis=1),
        )

    def _reduce(self, rows: BatchRows, point: MapPoint, values: torch.Tensor) -> None:
        """Reduce a point's values, [B, C, h, w] or [B, C], and add them; the filling at the end is left out."""
        indices, name = self._selection.indices[point.point], str(point.point)
        count, size = len(rows.window), point.height * point.width
        maps = values[:count].reshape(count, point.channels, size // block_size(size), -1)
        every = len(indices) == point.channels
        highest = maps.amax(3) if maps.shape[3] > 1 else maps[..., 0]
        peaks = highest.amax(2)
        if not every:
            peaks = peaks[:, torch.from_numpy(indices).to(peaks.device)]
        peak = np.ascontiguousarray(peaks.float().cpu().numpy())
        if not np.isfinite(peak).all():
            raise AuditError(f"the model gives activations that are not finite numbers ({name})")
        row = self._rows[name]
        at = np.zeros(peak.shape, np.int32)
        if size > 1:
            b, u = np.nonzero(self._marked(rows, row, peak))
            at[b, u] = _positions(maps, highest, b, indices[u], peak[b, u])
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


def block_size(size: int) -> int:
    """Positions of a block of a map of ``size`` positions: a divisor of it, of `LEAST_BLOCK` at least if it has more.

    Where a list is still empty, every pair of an image and a unit needs its position. With the maxima of blocks, which
    cost no more than that of the map, the block is looked up first and then the position in it, not in the whole map.
    """
    return next((size // n for n in (32, 16, 8, 4, 2) if size % n == 0 and size // n >= LEAST_BLOCK), size)


def _positions(
    maps: torch.Tensor, highest: torch.Tensor, images: np.ndarray, channels: np.ndarray, peak: np.ndarray
) -> np.ndarray:
    """The first position of the peak in maps, int32 [P]; a part at a time, so that copies stay small.

    Args:
        maps: [B, C, blocks, positions of a block]; highest: [B, C, blocks], the maxima of blocks.
        images, channels: int64 [P], which maps.
        peak: float32 [P].
    """
    out = np.zeros(len(images), np.int32)
    step = max(1, (1 << 22) // maps.shape[3])
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        pairs, wanted = (images[part], channels[part]), peak[part]
        block = np.zeros(len(wanted), np.int32)
        if maps.shape[2] > 1:
            first_positions(_gathered(highest, *pairs), wanted, block)
        within = np.zeros(len(wanted), np.int32)
        first_positions(_gathered(maps, *pairs, block.astype(np.int64)), wanted, within)
        out[part] = block * maps.shape[3] + within
    return out


def _gathered(values: torch.Tensor, *indices: np.ndarray) -> np.ndarray:
    """Rows of a tensor, float32 [P, ...]; numpy copies them faster where it can."""
    if values.device.type == "cpu" and values.dtype == torch.float32:
        copied: np.ndarray = values.numpy()[indices]
        return copied
    tensors = tuple(torch.from_numpy(each).to(values.device) for each in indices)
    gathered: np.ndarray = values[tensors].float().cpu().numpy()
    return gathered


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
