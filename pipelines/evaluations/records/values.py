"""Values of evaluation files, whatever their types: labels as text, numbers, fields by path, hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson

LARGEST = 1e100
"""The largest score or amount: squares of differences stay finite."""

_TOO_DEEP = b"nested too deeply"


def text_of(value: Any) -> str:
    """A label as text: integers with all digits, text as it is, booleans and floats as JSON has them."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def field_of(record: Any, path: str | None) -> str | None:
    """The value of a field with a dotted path, as text; None if it is missing, null, a list or an object.

    It is looked for in the record itself, and then in its parts ``doc``, ``metadata`` and ``info``, where evaluation
    programs keep the columns of the data set.
    """
    if path is None or not isinstance(record, dict):
        return None
    for start in (record, record.get("doc"), record.get("metadata"), record.get("info")):
        value: Any = start
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, dict | list):
            return text_of(value)
    return None


def hash_of(value: Any) -> str:
    """SHA-256 of a text or of a JSON value in canonical form, as 64 hexadecimal digits."""
    data = value.encode() if isinstance(value, str) else json_of(value)
    return hashlib.sha256(data).hexdigest()


def json_of(value: Any) -> bytes:
    """A JSON value in canonical form; a fixed text for one that is nested too deeply to be written."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # orjson writes fewer levels than it reads
        try:
            return json.dumps(value, sort_keys=True).encode()
        except (RecursionError, ValueError, TypeError):
            return _TOO_DEEP


def epoch_of(value: Any) -> int:
    """The number of an answer to the same prompt; 1 where it is no whole number of 32 bits."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31 else 1


def number_of(value: Any) -> float | None:
    """A number as a float, if it is finite and no larger than a score may be; None else, as for ``"N/A"``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        return None
    return float(value)
