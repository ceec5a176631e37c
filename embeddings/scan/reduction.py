"""From readings of a batch to the accumulator: at once on the CPU; from a CUDA device reduced there and copied over
while the next batch runs, with one synchronisation a batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
import torch

from corpus_audit.embeddings.models.hooks import Reading
from corpus_audit.embeddings.scan.accumulator import (
    Accumulator,
    BatchRows,
    Highest,
    Lowest,
    highest_of,
    in_histogram,
    lowest_of,
)
from corpus_audit.embeddings.scan.pooling import Pooling, pooled

PointOf = Callable[[int], str]
"""The point of a row."""

MOST_THREADS = 16


class Taking:
    """Reduces the readings of batches as they come, on the CPU.

    `begin` says which windows the model sees next, `take` and `stream` are its sinks, `end` comes after it ran.
    """

    def __init__(
        self, into: Accumulator | None, point_of: Callable[[int], str], pooling: Pooling | None = None
    ) -> None:
        """Take.

        Args:
            into: where examples and statistics go; None takes vectors only.
            point_of: the point of a row, for messages.
            pooling: takes the windows' vectors.
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

    def take(self, reading: Reading) -> None:
        """Reduce what is read at a point into the accumulator."""
        rows, into = self._rows, self._into
        assert into is not None
        values = as_array(reading.values[: len(rows.window)])
        fired = None if reading.fired is None else reading.fired[: len(rows.window)].numpy()
        _add_whole(into, rows, reading, values, fired, self._point_of(reading.row))

    def stream(self, stream: torch.Tensor) -> None:
        """Pool the stream at the vectors' block into the windows' vectors."""
        rows, pooling = self._rows, self._pooling
        if pooling is None or not len(chosen := pooling.chosen(rows)):
            return
        found = pooled(stream.detach(), torch.from_numpy(chosen), torch.from_numpy(rows.counted))
        pooling.add(rows.window[chosen], *(part.numpy() for part in found))


class DeviceTaking(Taking):
    """Reduces the readings of batches on a CUDA device, and copies the results to the host.

    What is left of a reading there is [B, U]; points have rows of their own, so that threads add them side by side.
    Nothing of a batch counts before its `end`: one that failed can be begun anew.
    """

    def __init__(
        self, into: Accumulator | None, point_of: Callable[[int], str], pooling: Pooling | None = None
    ) -> None:
        """Take; arguments as for `Taking`."""
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
        """Begin a batch: the model runs on these windows next. Readings of a batch that was not ended are dropped."""
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

    def take(self, reading: Reading) -> None:
        """Reduce what is read at a point, and have the result copied."""
        rows, into = self._rows, self._into
        assert into is not None
        values = reading.values[: len(rows.window)].detach()
        point = self._point_of(reading.row)
        if reading.fired is not None:  # few units: experts
            whole, fired = _to_host(values.float()), _to_host(reading.fired[: len(rows.window)])
            self._steps.append(lambda: _add_whole(into, rows, reading, whole.numpy(), fired.numpy(), point))
            return
        values = values if values.stride(-1) == 1 else values.contiguous()
        counted = self._counted_there(values.device)
        lowest = reading.lowest and into.sizes.minima > 0
        if reading.highest or lowest:
            found = _to_host(self._kernels.reduced(values, counted, reading.highest, lowest))
            self._steps.append(lambda: _add_reduced(into, rows, reading, found.numpy(), point))
        if reading.highest and len(chosen := in_histogram(rows)):
            some = _to_host(values[_there(chosen, values.device)].float())
            self._steps.append(lambda: into.add_histogram(reading.row, some.numpy(), rows.counted[chosen]))

    def stream(self, stream: torch.Tensor) -> None:
        """Compute the windows' vectors, and have them copied."""
        rows, pooling = self._rows, self._pooling
        if pooling is None or not len(chosen := pooling.chosen(rows)):
            return
        found = pooled(stream.detach(), _there(chosen, stream.device), self._counted_there(stream.device))
        parts = [_to_host(part) for part in found]
        self._steps.append(lambda: pooling.add(rows.window[chosen], *(part.numpy() for part in parts)))

    def _counted_there(self, device: torch.device) -> torch.Tensor:
        if self._counted is None:
            self._counted = _there(self._rows.counted, device)
        return self._counted


def taking_on(
    device: torch.device, into: Accumulator | None, point_of: PointOf, pooling: Pooling | None = None
) -> Taking:
    """The reducer of readings for a device."""
    kind = DeviceTaking if device.type == "cuda" else Taking
    return kind(into, point_of, pooling)


def as_array(values: torch.Tensor) -> np.ndarray:
    """A contiguous float32 array; without a copy where the tensor is one already."""
    found: np.ndarray = values.detach().float().contiguous().cpu().numpy()
    return found


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A tensor of an array, on the device; on its way there, if that is not the CPU."""
    return torch.from_numpy(array) if device.type == "cpu" else _there(array, device)


def _there(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(array).pin_memory().to(device, non_blocking=True)


def _to_host(values: torch.Tensor) -> torch.Tensor:
    """A tensor in pinned memory that holds the values after the next synchronisation."""
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return host.copy_(values, non_blocking=True)


def _add_whole(
    into: Accumulator, rows: BatchRows, reading: Reading, values: np.ndarray, fired: np.ndarray | None, point: str
) -> None:
    if reading.highest:
        into.add_highest(rows, reading.row, _highest(values, rows.counted, fired), point)
        for one in in_histogram(rows):  # one after the other: what several of them hold would be copied
            into.add_histogram(reading.row, values[one : one + 1], rows.counted[one : one + 1])
    if reading.lowest and into.sizes.minima:
        into.add_lowest(rows, reading.row, lowest_of(values, rows.counted), point)


def _highest(values: np.ndarray, counted: np.ndarray, fired: np.ndarray | None) -> Highest:
    found = highest_of(values, counted)
    if fired is None:
        return found
    count = np.where(counted[:, :, None], fired, False).sum(axis=1, dtype=np.int32)
    return Highest(found.peak, found.at, found.total, count)


def _add_reduced(into: Accumulator, rows: BatchRows, reading: Reading, found: np.ndarray, point: str) -> None:
    """Add what `device_kernels.reduced` gives."""
    planes = list(found)
    if reading.highest:
        peak, total, at, count = planes[:4]
        into.add_highest(rows, reading.row, Highest(peak, at.view(np.int32), total, count.view(np.int32)), point)
        planes = planes[4:]
    if planes:
        into.add_lowest(rows, reading.row, Lowest(planes[0], planes[1].view(np.int32)), point)
