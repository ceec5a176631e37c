"""Statistics of all units in compressed blocks of units, so that those of one unit are read without the others'.

Most of these numbers are small or zero: a bin that a unit never reached, a group without documents. An array is cut
into blocks of `UNITS_A_BLOCK` units. A block holds the units along its last axis, as the same statistic of neighbouring
units is alike, byte plane by byte plane (the exponents of floating-point numbers together), compressed with zstd.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

UNITS_A_BLOCK = 256

UNIT_AXIS = {"fired": 2, "total": 2, "histogram": 0, "samples.value": 0, "samples.row": 0, "samples.position": 0}
"""The arrays that are packed, and which of their axes is that of the units."""

_ZSTD = "zstd"


@dataclass
class PackedArray:
    """An array whose blocks are decompressed when they are read.

    Attributes:
        data: uint8, the compressed blocks one after the other; may be mapped.
        starts: uint64 [blocks + 1], where each block begins in ``data``, and where the last one ends.
        dtype, shape: of the array.
        axis: which of its axes is that of the units.
    """

    data: np.ndarray
    starts: np.ndarray
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    axis: int

    def __post_init__(self) -> None:
        if not 0 <= self.axis < len(self.shape) or len(self.starts) != len(range(0, self.units, UNITS_A_BLOCK)) + 1:
            raise ValueError("blocks and shape of a packed array do not fit each other")
        self._last: tuple[int, np.ndarray] | None = None

    @property
    def units(self) -> int:
        """How many units it has."""
        return self.shape[self.axis]

    def of_unit(self, unit: int) -> np.ndarray:
        """The numbers of one unit: the array without the axis of the units.

        Raises:
            OSError, ValueError: the block is damaged.
        """
        number = unit // UNITS_A_BLOCK
        last = self._last  # neighbouring units are often read one after the other
        if last is None or last[0] != number:
            last = self._last = number, self._block(number)
        numbers: np.ndarray = last[1][..., unit % UNITS_A_BLOCK]
        return numbers

    def whole(self) -> np.ndarray:
        """The whole array.

        Raises:
            OSError, ValueError: a block is damaged.
        """
        others = self.shape[: self.axis] + self.shape[self.axis + 1 :]
        array = np.empty((*others, self.units), self.dtype)
        for number, begin in enumerate(range(0, self.units, UNITS_A_BLOCK)):
            array[..., begin : begin + UNITS_A_BLOCK] = self._block(number)
        return np.ascontiguousarray(np.moveaxis(array, -1, self.axis))

    def _block(self, number: int) -> np.ndarray:
        """The numbers of a block, with the units along the last axis."""
        units = min(UNITS_A_BLOCK, self.units - number * UNITS_A_BLOCK)
        shape = (*self.shape[: self.axis], *self.shape[self.axis + 1 :], units)
        size = int(np.prod(shape))
        if not size:
            return np.empty(shape, self.dtype)
        begin, end = int(self.starts[number]), int(self.starts[number + 1])
        frame = pa.py_buffer(self.data[begin:end])
        planes = np.frombuffer(pa.decompress(frame, size * self.dtype.itemsize, _ZSTD), np.uint8)
        values = np.ascontiguousarray(planes.reshape(self.dtype.itemsize, size).T).view(self.dtype)
        return values.reshape(shape)


def write_packed(folder: Path, name: str, array: np.ndarray) -> dict[str, Any]:
    """Write an array as NAME.blocks and NAME.starts.npy; returns its type and shape, for `read_packed`."""
    units_last = np.moveaxis(array, UNIT_AXIS[name], -1)
    starts = [0]
    with (folder / f"{name}.blocks").open("wb") as file:
        for begin in range(0, units_last.shape[-1], UNITS_A_BLOCK):
            block = np.ascontiguousarray(units_last[..., begin : begin + UNITS_A_BLOCK])
            planes = np.ascontiguousarray(block.reshape(-1, 1).view(np.uint8).T)
            file.write(pa.compress(planes, _ZSTD, asbytes=True))
            starts.append(file.tell())
    np.save(folder / f"{name}.starts.npy", np.array(starts, np.uint64), allow_pickle=False)
    return {"dtype": array.dtype.str, "shape": list(array.shape)}


def read_packed(blocks: Path, starts: Path, name: str, facts: Mapping[str, Any]) -> PackedArray:
    """Open the array ``name`` of two files, mapped; ``facts`` are what `write_packed` returned.

    Raises:
        OSError, ValueError, KeyError, TypeError: a file cannot be read, or does not fit the other.
    """
    begins = np.load(starts, allow_pickle=False)
    data = np.memmap(blocks, np.uint8, mode="r").view(np.ndarray) if blocks.stat().st_size else np.empty(0, np.uint8)
    if begins.dtype != np.uint64 or not len(begins) or int(begins[-1]) != len(data):
        raise ValueError("the blocks of a packed array do not fit its file")
    return PackedArray(data, begins, np.dtype(facts["dtype"]), tuple(map(int, facts["shape"])), UNIT_AXIS[name])
