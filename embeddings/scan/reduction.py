"""Reduces a batch's activations into the accumulator: at once on the CPU; on a CUDA device by a kernel, whose results
are copied while the next batch runs, with one synchronisation a batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
import torch

from corpus_audit.embeddings.models.hooks import Activations
from corpus_audit.embeddings.scan.accumulator import (
    ActivationAccumulator,
    BatchRows,
    Highest,
    Lowest,
    highest_of,
    in_histogram,
    lowest_of,
)
from corpus_audit.embeddings.scan.pooling import Pooling, pool_windows

PointOf = Callable[[int], str]
"""The point of a row."""

MOST_THREADS = 16


class BatchReducer:
    """Reduces the activations of batches on the CPU, as the hooks hand them over.

    For each batch: `begin` with its windows, then the forward pass, whose hooks call `reduce` and `reduce_stream`, then
    `end`.
    """

    def __init__(
        self, into: ActivationAccumulator | None, point_of: Callable[[int], str], pooling: Pooling | None = None
    ) -> None:
        """Make a reducer.

        Args:
            into: where examples and statistics go; None collects vectors only.
            point_of: the point of a row, for messages.
            pooling: collects the windows' vectors; None collects none.
        """
        self._into, self._point_of, self._pooling = into, point_of, pooling

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def begin(self, rows: BatchRows) -> None:
        """Begin a batch: the model runs on these windows next."""
        self._rows = rows

    def end(self) -> None:
        """End the batch."""
        if self._into is not None:
            self._into.count_windows(self._rows)

    def reduce(self, activations: Activations) -> None:
        """Reduce the activations of a point into the accumulator."""
        rows, into = self._rows, self._into
        assert into is not None
        values = as_array(activations.values[: len(rows.window)])
        fired = None if activations.fired is None else activations.fired[: len(rows.window)].numpy()
        _add_activations(into, rows, activations, values, fired, self._point_of(activations.row))

    def reduce_stream(self, stream: torch.Tensor) -> None:
        """Pool the residual stream [B, L, d] at the vectors' block into vectors of the windows."""
        rows, pooling = self._rows, self._pooling
        if pooling is None or not len(windows := pooling.select(rows)):
            return
        vectors = pool_windows(stream.detach(), torch.from_numpy(windows), torch.from_numpy(rows.counted))
        pooling.add(rows.window[windows], *(part.numpy() for part in vectors))


class DeviceBatchReducer(BatchReducer):
    """Reduces the activations of batches on a CUDA device, and copies the results to the host.

    The results of a point are [B, U] each; points have rows of their own, so that threads add them side by side.
    Nothing of a batch counts before its `end`: one that failed can be begun anew.
    """

    def __init__(
        self, into: ActivationAccumulator | None, point_of: Callable[[int], str], pooling: Pooling | None = None
    ) -> None:
        """Make a reducer; arguments as for `BatchReducer`."""
        from corpus_audit.embeddings.scan import device_kernels  # Triton comes with torch's CUDA builds only

        super().__init__(into, point_of, pooling)
        self._kernels = device_kernels
        self._steps: list[Callable[[], None]] = []
        self._waiting: tuple[torch.cuda.Event, list[Callable[[], None]]] | None = None
        self._threads = ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1))

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._threads.shutdown()

    def begin(self, rows: BatchRows) -> None:
        """Begin a batch: the model runs on these windows next. Results of a batch that was not ended are dropped."""
        super().begin(rows)
        self._steps = []
        self._counted: torch.Tensor | None = None

    def end(self) -> None:
        """End the batch: add the one before while the device works on this one."""
        super().end()
        arrived = torch.cuda.Event()
        arrived.record()
        self._finish()
        self._waiting = arrived, self._steps
        self._steps = []

    def _finish(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        waiting[0].synchronize()
        for _ in self._threads.map(lambda step: step(), waiting[1]):
            pass  # raises what a step raised

    def reduce(self, activations: Activations) -> None:
        """Reduce the activations of a point on the device, and start copying the result."""
        rows, into = self._rows, self._into
        assert into is not None
        values = activations.values[: len(rows.window)].detach()
        point = self._point_of(activations.row)
        if activations.fired is not None:  # few units: experts
            copied, fired = _to_host(values.float()), _to_host(activations.fired[: len(rows.window)])
            self._steps.append(lambda: _add_activations(into, rows, activations, copied.numpy(), fired.numpy(), point))
            return
        values = values if values.stride(-1) == 1 else values.contiguous()  # the kernel walks units side by side
        counted = self._counted_on(values.device)
        lowest = activations.lowest and into.sizes.minima > 0
        if activations.highest or lowest:
            reduced = _to_host(self._kernels.reduce_activations(values, counted, activations.highest, lowest))
            self._steps.append(lambda: _add_reduced(into, rows, activations, reduced.numpy(), point))
        if activations.highest and len(windows := in_histogram(rows)):
            sampled = _to_host(values[_copy_to_device(windows, values.device)].float())
            self._steps.append(lambda: into.add_histogram(activations.row, sampled.numpy(), rows.counted[windows]))

    def reduce_stream(self, stream: torch.Tensor) -> None:
        """Compute the windows' vectors on the device, and start copying them."""
        rows, pooling = self._rows, self._pooling
        if pooling is None or not len(windows := pooling.select(rows)):
            return
        vectors = pool_windows(
            stream.detach(), _copy_to_device(windows, stream.device), self._counted_on(stream.device)
        )
        parts = [_to_host(part) for part in vectors]
        self._steps.append(lambda: pooling.add(rows.window[windows], *(part.numpy() for part in parts)))

    def _counted_on(self, device: torch.device) -> torch.Tensor:
        """The batch's ``counted`` mask on the device, copied once a batch."""
        if self._counted is None:
            self._counted = _copy_to_device(self._rows.counted, device)
        return self._counted


def reducer_for(
    device: torch.device, into: ActivationAccumulator | None, point_of: PointOf, pooling: Pooling | None = None
) -> BatchReducer:
    """A reducer for a device; other arguments as for `BatchReducer`."""
    kind = DeviceBatchReducer if device.type == "cuda" else BatchReducer
    return kind(into, point_of, pooling)


def as_array(values: torch.Tensor) -> np.ndarray:
    """A contiguous float32 array; without a copy where the tensor is one already."""
    array: np.ndarray = values.detach().float().contiguous().cpu().numpy()
    return array


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A tensor of an array on the device; copied asynchronously unless that is the CPU."""
    return torch.from_numpy(array) if device.type == "cpu" else _copy_to_device(array, device)


def _copy_to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(array).pin_memory().to(device, non_blocking=True)


def _to_host(values: torch.Tensor) -> torch.Tensor:
    """A tensor in pinned memory that holds the values after the next synchronisation."""
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return host.copy_(values, non_blocking=True)


def _add_activations(
    into: ActivationAccumulator,
    rows: BatchRows,
    activations: Activations,
    values: np.ndarray,
    fired: np.ndarray | None,
    point: str,
) -> None:
    if activations.highest:
        into.add_highest(rows, activations.row, _highest(values, rows.counted, fired), point)
        for index in in_histogram(rows):  # one at a time: a slice is a view, and indexing several would copy them
            into.add_histogram(activations.row, values[index : index + 1], rows.counted[index : index + 1])
    if activations.lowest and into.sizes.minima:
        into.add_lowest(rows, activations.row, lowest_of(values, rows.counted), point)


def _highest(values: np.ndarray, counted: np.ndarray, fired: np.ndarray | None) -> Highest:
    highest = highest_of(values, counted)
    if fired is None:
        return highest
    count = np.where(counted[:, :, None], fired, False).sum(axis=1, dtype=np.int32)
    return Highest(highest.peak, highest.at, highest.total, count)


def _add_reduced(
    into: ActivationAccumulator, rows: BatchRows, activations: Activations, reduced: np.ndarray, point: str
) -> None:
    """Add the results of `device_kernels.reduce_activations`."""
    planes = list(reduced)
    if activations.highest:
        peak, total, at, count = planes[:4]
        into.add_highest(rows, activations.row, Highest(peak, at.view(np.int32), total, count.view(np.int32)), point)
        planes = planes[4:]
    if planes:
        into.add_lowest(rows, activations.row, Lowest(planes[0], planes[1].view(np.int32)), point)
