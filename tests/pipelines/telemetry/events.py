"""Writes event files byte by byte, as TensorBoard's format says: the oracle of the reader."""

from __future__ import annotations

import struct
from pathlib import Path


def crc(data: bytes) -> int:
    """Masked CRC-32C, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    pieces = bytearray()
    while number > 127:
        pieces.append(number & 127 | 128)
        number >>= 7
    return bytes([*pieces, number])


def field(number: int, wire: int, content: bytes) -> bytes:
    length = varint(len(content)) if wire == 2 else b""
    return varint(number << 3 | wire) + length + content


def simple(value: float) -> bytes:
    """``simple_value`` of a summary value."""
    return field(2, 5, struct.pack("<f", value))


def tensor(*, dtype: int, shape: tuple[int, ...] = (), **content: bytes) -> bytes:
    """``tensor`` of a summary value; ``content=``, ``floats=``, ``doubles=`` or ``integers=`` are its bytes."""
    dimensions = b"".join(field(2, 2, field(1, 0, varint(size))) for size in shape)
    numbers = {"content": 4, "floats": 5, "doubles": 6, "integers": 10, "halves": 13}
    body = field(1, 0, varint(dtype)) + field(2, 2, dimensions)
    return field(8, 2, body + b"".join(field(numbers[name], 2, data) for name, data in content.items()))


def event(wall: float, step: int, *values: tuple[str, bytes]) -> bytes:
    summary = b"".join(field(1, 2, field(1, 2, tag.encode()) + content) for tag, content in values)
    return field(1, 1, struct.pack("<d", wall)) + field(2, 0, varint(step)) + field(5, 2, summary)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", crc(length)) + data + struct.pack("<I", crc(data))


VERSION = record(field(1, 1, struct.pack("<d", 1.0)) + field(3, 2, b"brain.Event:2"))


def scalars(rows: list[tuple[str, int, float]], wall: float = 1.0) -> bytes:
    """A whole file of scalars."""
    return VERSION + b"".join(
        record(event(wall + i, step, (tag, simple(value)))) for i, (tag, step, value) in enumerate(rows)
    )


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
