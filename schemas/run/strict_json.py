"""Strict JSON for signed files: bytes have one meaning, and a value has one form."""

from __future__ import annotations

import json
from typing import Any, NoReturn


class StrictJsonError(ValueError):
    """The bytes are not UTF-8 JSON, or could be read in more than one way."""


def loads(data: bytes) -> Any:
    """Parse JSON that every parser reads alike.

    Raises:
        StrictJsonError: not UTF-8, a key twice in an object, NaN or Infinity, a lone surrogate, a number that overflows
            to infinity, anything after the value, or nesting beyond what Python reads.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
        # Python accepts an escape of half a surrogate pair, which UTF-8 cannot encode.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except StrictJsonError:
        raise
    except (UnicodeError, ValueError, RecursionError) as error:
        raise StrictJsonError(f"not valid JSON: {error}") from None
    return value


def dumps(value: Any, indent: int | None = None) -> bytes:
    """A value as JSON: UTF-8, keys sorted, no NaN; without ``indent`` no needless spaces. Ends without a newline.

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False, indent=indent, separators=separators)
    return text.encode("utf-8")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of a repeated key Python keeps the last value and other parsers the first: two readers of one signed file.
    value_of: dict[str, Any] = {}
    for key, value in pairs:
        if key in value_of:
            raise StrictJsonError(f"the key {key!r} occurs twice in one object")
        value_of[key] = value
    return value_of


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise StrictJsonError(f"{text} is too large for a number")
    return value
