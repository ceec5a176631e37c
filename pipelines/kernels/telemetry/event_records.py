"""Scalars of TensorBoard event files: TFRecord framing with CRC-32C, and the protobuf fields that hold scalars.

A file is a sequence of records: length (8 bytes, little-endian), masked CRC-32C of it, data, masked CRC-32C of the data
(tensorflow/core/lib/io/record_writer.h). The data are an ``Event`` (tensorflow/core/util/event.proto): 1 wall time,
2 step, 5 summary, whose values have 1 tag and 2 simple_value or 8 tensor (tensorflow/core/framework/summary.proto).
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel, subkernel
from corpus_audit.pipelines.kernels.telemetry.protobuf_fields import (
    FLOAT32,
    NO_TYPE,
    field_content,
    tensor,
    unsigned,
    varint,
)

MORE, NEW_TAG, FULL, TOO_LARGE = 0, 1, 2, 3
"""Why `scan_events` returned: data used up, a tag that is not in the table, no room for points, a record that is longer
than allowed."""

POSITION, POINTS, RECORDS, USED, REFUSED, OTHER, DEAD, TAG_START, TAG_LENGTH, TAG_HASH, SKIPPED, LENGTH, SEARCHING = (
    range(13)
)
"""Entries of ``state``: where the next record begins, points so far, records by outcome, dead letters so far, the tag
that is not in the table, bytes skipped in search of the next record, length of a record that is too large,
whether the next intact length is still being looked for."""

REASONS = 13
"""The first of the entries that count dead letters by reason."""

STATE = 17
"""Entries of ``state``."""

CHECKSUM, LENGTH_CHECKSUM, MALFORMED, TOO_MANY_TAGS = range(4)
"""Reasons of dead letters."""

_MASK = 0xFFFFFFFF


def crc_tables() -> np.ndarray:
    """int64 [2048]: eight tables of 256 for CRC-32C (Castagnoli, reflected polynomial 0x82F63B78)."""
    table = np.arange(256, dtype=np.int64)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ 0x82F63B78, table >> 1)
    tables = [table]
    for _ in range(7):
        tables.append(table[tables[-1] & 0xFF] ^ (tables[-1] >> 8))
    return np.concatenate(tables)


def tag_hash(tag: bytes) -> int:
    """The hash by which `scan_events` looks tags up: FNV-1a, 63 bits."""
    value = 0x4BF29CE484222325
    for byte in tag:
        value = ((value ^ byte) * 0x100000001B3) & 0x7FFFFFFFFFFFFFFF
    return value


@subkernel
def _masked_crc(data, start, stop, tables):
    crc = _MASK
    i = start
    while i + 8 <= stop:
        crc ^= data[i] | (data[i + 1] << 8) | (data[i + 2] << 16) | (data[i + 3] << 24)
        crc = (
            tables[1792 + (crc & 255)]
            ^ tables[1536 + ((crc >> 8) & 255)]
            ^ tables[1280 + ((crc >> 16) & 255)]
            ^ tables[1024 + (crc >> 24)]
            ^ tables[768 + data[i + 4]]
            ^ tables[512 + data[i + 5]]
            ^ tables[256 + data[i + 6]]
            ^ tables[data[i + 7]]
        )
        i += 8
    while i < stop:
        crc = tables[(crc ^ data[i]) & 255] ^ (crc >> 8)
        i += 1
    crc ^= _MASK
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & _MASK


@subkernel
def _tag_id(data, start, length, slots, hashes, tag_bytes, tag_ends):
    """(position of a tag in the table or -1, its hash)."""
    value = np.int64(0x4BF29CE484222325)
    for i in range(start, start + length):
        value = ((value ^ np.int64(data[i])) * np.int64(0x100000001B3)) & np.int64(0x7FFFFFFFFFFFFFFF)
    mask = len(slots) - 1
    slot = value & mask
    while slots[slot] != 0:
        position = np.int64(slots[slot]) - 1
        if hashes[position] == value:
            begin = tag_ends[position]
            if tag_ends[position + 1] - begin == length:
                same = True
                for i in range(length):
                    if tag_bytes[begin + i] != data[start + i]:
                        same = False
                        break
                if same:
                    return position, value
        slot = (slot + 1) & mask
    return np.int64(-1), value


@kernel
def scan_events(
    data, end, largest, tables, slots, hashes, tag_bytes, tag_ends, closed, step, bits, form, wall, tag, offset,
    base, dead_reason, dead_offset, state,
):  # fmt: skip
    """Read whole records of ``data`` into columns, until the data or the room is used up or a tag is new.

    Args:
        data: uint8 [N], of which ``end`` bytes are valid; the position in ``state`` is where a record begins.
        largest: the most bytes of a record's data.
        tables: `crc_tables`.
        slots, hashes, tag_bytes, tag_ends: tags that are known: open addressing (position + 1, or 0), `tag_hash`es,
            their bytes one after the other, and where each ends (the first entry is 0).
        closed: whether values of new tags are refused.
        step, bits, form, wall, tag, offset: int64, uint64, uint8, uint64, int32 and int64 columns to fill; ``wall`` are
            the bits of a float64, ``offset`` is of the record in the file.
        base: the file's offset of ``data[0]``.
        dead_reason, dead_offset: uint8 and int64 of the first dead letters.
        state: int64, see `POSITION` and the following; all but the position and the tag are running totals.

    Returns:
        `MORE`, `NEW_TAG`, `FULL` or `TOO_LARGE`.
    """
    at = state[POSITION]
    points = state[POINTS]
    room = len(step)
    while True:
        state[POSITION] = at
        state[POINTS] = points
        if end - at < 12:
            return MORE
        length = unsigned(data, at, 8)
        if np.int64(unsigned(data, at + 8, 4)) != _masked_crc(data, at, at + 8, tables):
            # The length cannot be trusted: look for the next eight bytes that have their own checksum.
            if state[SEARCHING] == 0:
                if state[DEAD] < len(dead_reason):
                    dead_reason[state[DEAD]] = LENGTH_CHECKSUM
                    dead_offset[state[DEAD]] = base + at
                state[DEAD] += 1
                state[REASONS + LENGTH_CHECKSUM] += 1
                state[RECORDS] += 1
                state[REFUSED] += 1
                state[SEARCHING] = 1
            begin = at
            at += 1
            while end - at >= 12 and np.int64(unsigned(data, at + 8, 4)) != _masked_crc(data, at, at + 8, tables):
                at += 1
            state[SKIPPED] += at - begin
            if end - at < 12:
                state[POSITION] = at
                return MORE
            continue
        state[SEARCHING] = 0
        if length > np.uint64(largest):
            state[LENGTH] = np.int64(min(length, np.uint64(0x7FFFFFFFFFFFFFF0)))
            return TOO_LARGE
        begin = at + 12
        stop = begin + np.int64(length)
        if stop + 4 > end:
            return MORE
        reason = -1
        written = 0
        others = 0
        if np.int64(unsigned(data, stop, 4)) != _masked_crc(data, begin, stop, tables):
            reason = CHECKSUM
        else:
            time = np.uint64(0x7FF8000000000000)
            number = np.int64(0)
            i = np.int64(begin)
            while i < stop and reason < 0:  # wall time and step, which may follow the summary
                key, i = varint(data, i, stop)
                if i < 0:
                    reason = MALFORMED
                    break
                start, after = field_content(data, i, stop, np.int64(key & np.uint64(7)))
                if after < 0:
                    reason = MALFORMED
                    break
                if key == np.uint64(9):
                    time = unsigned(data, start, 8)
                elif key == np.uint64(16):
                    value, _ = varint(data, start, after)
                    number = np.int64(value)
                i = after
            i = np.int64(begin)
            while i < stop and reason < 0:
                key, i = varint(data, i, stop)
                start, after = field_content(data, i, stop, np.int64(key & np.uint64(7)))
                i = after
                if key != np.uint64(42):  # summary
                    continue
                j = start
                while j < after and reason < 0:
                    key, j = varint(data, j, after)
                    if j < 0:
                        reason = MALFORMED
                        break
                    first, last = field_content(data, j, after, np.int64(key & np.uint64(7)))
                    if last < 0:
                        reason = MALFORMED
                        break
                    j = last
                    if key != np.uint64(10):  # value
                        continue
                    tag_start = np.int64(0)
                    tag_length = np.int64(0)
                    here = np.int64(NO_TYPE)
                    content = np.uint64(0)
                    k = first
                    while k < last:
                        key, k = varint(data, k, last)
                        if k < 0:
                            reason = MALFORMED
                            break
                        x, y = field_content(data, k, last, np.int64(key & np.uint64(7)))
                        if y < 0:
                            reason = MALFORMED
                            break
                        if key == np.uint64(10):
                            tag_start, tag_length = x, y - x
                        elif key == np.uint64(21):
                            here = np.int64(FLOAT32)
                            content = unsigned(data, x, 4)
                        elif key == np.uint64(66):
                            kind, number_bits, outcome = tensor(data, x, y)
                            if outcome < 0:
                                reason = MALFORMED
                                break
                            if outcome == 1:
                                here, content = kind, number_bits
                        k = y
                    if reason >= 0:
                        break
                    if here < 0:
                        others += 1
                        continue
                    position, hashed = _tag_id(data, tag_start, tag_length, slots, hashes, tag_bytes, tag_ends)
                    if position < 0:
                        if closed:
                            reason = TOO_MANY_TAGS
                            break
                        state[TAG_START] = tag_start
                        state[TAG_LENGTH] = tag_length
                        state[TAG_HASH] = hashed
                        return NEW_TAG
                    if points + written >= room:
                        return FULL
                    row = points + written
                    step[row] = number
                    bits[row] = content
                    form[row] = here
                    wall[row] = time
                    tag[row] = position
                    offset[row] = base + at
                    written += 1
        state[RECORDS] += 1
        if reason >= 0:
            if state[DEAD] < len(dead_reason):
                dead_reason[state[DEAD]] = reason
                dead_offset[state[DEAD]] = base + at
            state[DEAD] += 1
            state[REASONS + reason] += 1
            state[REFUSED] += 1
        elif written:
            state[USED] += 1
            points += written
        else:
            state[OTHER] += 1
        at = stop + 4
