"""Variable-length integers (LEB128) of whole columns, the encoding of partial profiles."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel, read_only


@kernel
def _encode(values, out):
    n = 0
    for value in values:
        rest = value
        while rest >= np.uint64(128):
            out[n] = np.uint8(rest & np.uint64(127)) | np.uint8(128)
            rest >>= np.uint64(7)
            n += 1
        out[n] = np.uint8(rest)
        n += 1
    return n


@kernel
def _decode(data, out):
    """Returns the bytes consumed, or -1 when ``data`` ends within a value or a value is too long."""
    at = 0
    for i in range(len(out)):
        value = np.uint64(0)
        shift = np.uint64(0)
        while True:
            # Ten bytes hold 64 bits: without this bound a damaged column would shift by more than a word has.
            if at >= len(data) or shift > np.uint64(63):
                return -1
            byte = data[at]
            at += 1
            value |= np.uint64(byte & np.uint8(127)) << shift
            if byte < 128:
                break
            shift += np.uint64(7)
        out[i] = value
    return at


def encode(values: np.ndarray) -> np.ndarray:
    """LEB128 bytes (uint8) of unsigned integers (uint64)."""
    # Room for ten bytes each, the most; pages that are not written to take no memory.
    out = np.empty(max(1, len(values)) * 10, np.uint8)
    return out[: _encode(values, out)]


def decode(data: np.ndarray, count: int) -> np.ndarray:
    """``count`` unsigned integers (uint64) from LEB128 bytes.

    Raises:
        ValueError: when ``data`` does not hold exactly ``count`` values.
    """
    out = np.empty(count, np.uint64)
    if _decode(read_only(data), out) != len(data):
        raise ValueError("damaged column: the encoded values do not fill their bytes")
    return out
