"""Rows that are JSON objects, as JSON lines and the samples of archives have them: parsing one, and their columns."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from corpus_audit.pipelines.reading.documents.assembly import Assembler, Fields, RowImages
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.filters import value_kind
from corpus_audit.schemas.run.dead_letters import DeadLetterReason
from corpus_audit.schemas.spec.audit import FilterClause

_EXACT_BELOW = 2.0**63  # from here on orjson may have rounded an integer to a float
_SAFE_DIGITS = 19  # an integer with fewer digits fits into 64 bits
_ALLOWED: dict[str, frozenset[type]] = {
    "text": frozenset({str}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
}


class ObjectRows:
    """Makes documents of parsed objects, one object a row."""

    def __init__(self, fields: Fields, settings: ReadSettings, tally: SplitTally) -> None:
        self.assembler = Assembler(fields, settings, tally)
        self._fields = fields
        self._clauses = settings.filter
        self._plain_labels = settings.plain_labels
        self._getters = {path: getter(path) for path in fields.columns}

    def assemble(
        self,
        rows: np.ndarray,
        objects: Sequence[dict[str, Any]],
        sources: Sequence[bytes],
        images: RowImages | None = None,
    ) -> DocumentBatch | None:
        """The documents among the rows, or None if there is none.

        Args:
            rows: int64 [R], numbers of the rows within the split.
            objects: the parsed objects, [R].
            sources: the JSON that each was parsed from, [R].
            images: the images of the rows, in an image corpus.
        """
        mistyped = np.zeros(len(rows), dtype=bool)
        if self._plain_labels:
            for path in self._fields.labels:
                mistyped |= np.array([type(self._getters[path](value)) in (dict, list) for value in objects])
        get = self._getters
        columns = {
            path: _labels([get[path](value) for value in objects], sources, get[path]) for path in self._fields.labels
        }
        if self._fields.text is not None:
            columns[self._fields.text] = _texts([get[self._fields.text](value) for value in objects], mistyped)
        clauses = [_clause_column(clause, [get[clause.column](value) for value in objects]) for clause in self._clauses]
        return self.assembler.assemble(
            rows, columns, clauses, lambda index: sources[index].removesuffix(b"\r"), mistyped, images
        )

    def mistyped_for_filter(self, value: dict[str, Any]) -> bool:
        """Whether a value that a filter compares has another type than the filter's own."""
        for clause in self._clauses:
            allowed = _ALLOWED.get(value_kind(clause))
            field_value = self._getters[clause.column](value)
            if allowed is not None and field_value is not None and type(field_value) not in allowed:
                return True
        return False


def parse_object(line: bytes) -> tuple[dict[str, Any], DeadLetterReason | None]:
    """The object that a text of JSON holds, and why it holds none (the object is then empty)."""
    # orjson first, as it is the faster parser; what it rejects is read by the standard library, which says why.
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value, reason = _read_again(line)
        if reason is not None:
            return {}, reason
    return (value, None) if type(value) is dict else ({}, DeadLetterReason.NOT_AN_OBJECT)


def getter(path: str) -> Callable[[dict[str, Any]], Any]:
    """A function that looks up a key as written or, if it has dots and is absent, along nested objects."""
    parts = path.split(".")
    if len(parts) == 1:
        return lambda value: value.get(path)

    def walk(value: Any) -> Any:
        if path in value:
            return value[path]
        for part in parts:
            if type(value) is not dict:
                return None
            value = value.get(part)
        return value

    return walk


def _texts(values: list[Any], mistyped: np.ndarray) -> pa.Array:
    for index, value in enumerate(values):
        if type(value) is not str and value is not None:
            mistyped[index] = True
            values[index] = None
    return pa.array(values, pa.large_string())


def _labels(values: list[Any], sources: Sequence[bytes], get: Callable[[dict[str, Any]], Any]) -> pa.Array:
    """Values as text, as Arrow writes numbers and booleans; objects and lists as JSON.

    Args:
        values: the labels as orjson parsed them.
        sources: the lines that they come from.
        get: looks up the label in a parsed line.
    """
    for index, value in enumerate(values):
        kind = type(value)
        if kind is str or value is None:
            continue
        if kind is bool:
            values[index] = "true" if value else "false"
        elif kind is int:
            values[index] = str(value)
        elif kind is float and -_EXACT_BELOW < value < _EXACT_BELOW:
            values[index] = _float_text(value)
        elif kind is float:
            # orjson rounds integers beyond 64 bits, which may make two ids equal: parse the line again for the digits.
            number = get(json.loads(sources[index], parse_int=str, parse_float=_finite))
            values[index] = number if type(number) is str else _float_text(number)
        else:
            values[index] = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return pa.array(values, pa.large_string())


def _float_text(value: float) -> str:
    return str(pa.scalar(value).cast(pa.string()).as_py())


def _finite(digits: str) -> float | str:
    value = float(digits)
    return digits if math.isinf(value) else value


def _clause_column(clause: FilterClause, values: list[Any]) -> pa.Array:
    kind = value_kind(clause)
    if kind == "any":
        return pa.array([None if value is None else True for value in values], pa.bool_())
    if kind == "text":
        return pa.array(values, pa.large_string())
    if kind == "boolean":
        return pa.array(values, pa.bool_())
    # A column has one type: with a single float, or an integer that int64 does not hold, all are compared as floats.
    if any(type(value) is float or (value is not None and value.bit_length() > 63) for value in values):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array(values, pa.int64())


def _read_again(line: bytes) -> tuple[Any, DeadLetterReason | None]:
    """Parse a line that orjson rejected: its value if it is valid JSON after all, otherwise the reason why it is not.

    orjson rejects numbers beyond the range of floats, which JSON allows. The standard library also accepts lone
    surrogates, NaN and infinities, and deeper nesting, which are rejected here.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return None, DeadLetterReason.INVALID_UTF8
    constants: list[str] = []
    beyond: list[str] = []

    def number(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            beyond.append(digits)
        return value

    def integer(digits: str) -> float:
        return int(digits) if len(digits) < _SAFE_DIGITS else number(digits)

    try:
        value = json.loads(text, parse_constant=constants.append, parse_float=number, parse_int=integer)
    except (ValueError, RecursionError):
        return None, DeadLetterReason.NOT_JSON
    if constants:
        return None, DeadLetterReason.NAN_IN_JSON
    if r"\u" in text and _has_lone_surrogate(value):
        return None, DeadLetterReason.LONE_SURROGATE
    return (value, None) if beyond else (None, DeadLetterReason.NOT_JSON)


def _has_lone_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError):
        return True
    return False
