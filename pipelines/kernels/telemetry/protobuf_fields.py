"""Fields of protobuf messages, and the numbers of a ``TensorProto`` (tensorflow/core/framework/tensor.proto)."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel, subkernel

FLOAT32, FLOAT64, INT64, FLOAT16, BFLOAT16 = range(5)
"""How the bits of a value are to be read."""

NO_TYPE = -1
"""Bits that are no number."""


@subkernel
def unsigned(data, at, size):
    """The little-endian integer of ``size`` bytes."""
    value = np.uint64(0)
    for i in range(size):
        value |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return value


@subkernel
def varint(data, at, stop):
    """(value, position after it); the position is -1 if it does not end before ``stop`` or has more than 64 bits."""
    value = np.uint64(0)
    for shift in range(10):
        if at >= stop:
            return value, np.int64(-1)
        byte = data[at]
        at += 1
        value |= np.uint64(byte & 127) << np.uint64(7 * shift)
        if byte < 128:
            return value, np.int64(at)
    return value, np.int64(-1)


@subkernel
def field_content(data, at, stop, wire):
    """(start, end) of a field's content by wire type; end is -1 if it passes ``stop`` or the type is unknown."""
    if wire == 0:
        _, end = varint(data, at, stop)
        return np.int64(at), end
    if wire == 1:
        size = np.int64(8)
    elif wire == 5:
        size = np.int64(4)
    elif wire == 2:
        length, at = varint(data, at, stop)
        if at < 0 or length > np.uint64(stop - at):
            return np.int64(at), np.int64(-1)
        size = np.int64(length)
    else:
        return np.int64(at), np.int64(-1)
    return np.int64(at), np.int64(at + size) if at + size <= stop else np.int64(-1)


@kernel
def message_fields(data, start, stop, descend, rows):
    """List the fields of a message, and those of the messages in it that ``descend`` names, in their order.

    Args:
        data: uint8 [N].
        start, stop: where the message is.
        descend: bit ``n`` is set if field ``n`` (below 62) is a message whose own fields follow it in the list.
        rows: int64 [room, 4] to fill: depth (0, or 1 within such a message), number, start and end of the content.

    Returns:
        How many there are, of which no more than ``room`` are listed; -1 if the message is malformed.
    """
    count = 0
    at = np.int64(start)
    while at < stop:
        key, at = varint(data, at, stop)
        if at < 0 or key < np.uint64(8):
            return -1
        number = np.int64(key >> np.uint64(3))
        first, last = field_content(data, at, stop, np.int64(key & np.uint64(7)))
        if last < 0:
            return -1
        if count < len(rows):
            rows[count, 0] = 0
            rows[count, 1] = number
            rows[count, 2] = first
            rows[count, 3] = last
        count += 1
        at = last
        if number >= 62 or (descend >> number) & 1 == 0 or np.int64(key & np.uint64(7)) != 2:
            continue
        inner = first
        while inner < last:
            key, inner = varint(data, inner, last)
            if inner < 0 or key < np.uint64(8):
                return -1
            begin, end = field_content(data, inner, last, np.int64(key & np.uint64(7)))
            if end < 0:
                return -1
            if count < len(rows):
                rows[count, 0] = 1
                rows[count, 1] = np.int64(key >> np.uint64(3))
                rows[count, 2] = begin
                rows[count, 3] = end
            count += 1
            inner = end
    return count


@subkernel
def tensor(data, at, stop):
    """(how to read, bits, state) of a ``TensorProto``: state 1 one number, 0 not one, -1 malformed."""
    kind = np.int64(0)
    bits = np.uint64(0)
    numbers = np.int64(0)
    form = np.int64(NO_TYPE)
    content = np.int64(-1)
    single = True
    while at < stop:
        key, at = varint(data, at, stop)
        if at < 0:
            return form, bits, np.int64(-1)
        field, wire = np.int64(key >> np.uint64(3)), np.int64(key & np.uint64(7))
        start, end = field_content(data, at, stop, wire)
        if end < 0:
            return form, bits, np.int64(-1)
        size = end - start
        if field == 1 and wire == 0:
            number, _ = varint(data, start, end)
            kind = np.int64(number)
        elif field == 2 and wire == 2:
            inner = start
            while inner < end:
                key, inner = varint(data, inner, end)
                if inner < 0:
                    return form, bits, np.int64(-1)
                first, last = field_content(data, inner, end, np.int64(key & np.uint64(7)))
                if last < 0:
                    return form, bits, np.int64(-1)
                if key == np.uint64(18):  # a dimension, of which 8 is the tag of the size
                    one = last - first >= 2 and data[first] == 8 and data[first + 1] == 1
                    single = single and one
                elif key == np.uint64(24):
                    single = False
                inner = last
        elif field == 4 and wire == 2 and size > 0:
            content = start
            numbers += 1 if size <= 8 else 2
            bits = unsigned(data, start, min(size, 8))
            form = size
        elif field == 5 and (wire == 5 or wire == 2):
            numbers += size // 4
            form = np.int64(FLOAT32)
            if size >= 4:
                bits = unsigned(data, start, 4)
        elif field == 6 and (wire == 1 or wire == 2):
            numbers += size // 8
            form = np.int64(FLOAT64)
            if size >= 8:
                bits = unsigned(data, start, 8)
        elif field == 7 or field == 10 or field == 13:
            inner = start
            while inner < end:
                bits, inner = varint(data, inner, end)
                if inner < 0:
                    return form, bits, np.int64(-1)
                numbers += 1
            form = np.int64(INT64)
            if field == 13:
                form = np.int64(BFLOAT16) if kind == 14 else np.int64(FLOAT16)
        at = end
    if content >= 0:
        size = form
        form = np.int64(NO_TYPE)
        if kind == 1 and size == 4:
            form = np.int64(FLOAT32)
        elif kind == 2 and size == 8:
            form = np.int64(FLOAT64)
        elif kind == 9 and size == 8:
            form = np.int64(INT64)
        elif kind == 3 and size == 4:
            form = np.int64(INT64)
            if bits >> np.uint64(31):
                bits |= np.uint64(0xFFFFFFFF00000000)
        elif kind == 19 and size == 2:
            form = np.int64(FLOAT16)
        elif kind == 14 and size == 2:
            form = np.int64(BFLOAT16)
    if form < 0 or numbers != 1 or not single:
        return form, bits, np.int64(0)
    return form, bits, np.int64(1)
