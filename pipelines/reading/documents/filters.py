"""Evaluates the spec's ``filter:`` clauses on the Arrow columns of a batch, the same way for every format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import re2

from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.audit import FilterClause

_COMPARISONS = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_NULL_OPS = ("is_null", "not_null")


def check_filter(clauses: Sequence[FilterClause]) -> None:
    """Check the clauses as far as possible before a shard is read.

    Raises:
        UsageError: a pattern is not RE2, or the values of an ``in`` are of several types.
    """
    for clause in clauses:
        value_kind(clause)
        if clause.op == "matches":
            options = re2.Options()
            options.log_errors = False
            try:
                re2.compile(str(clause.value), options)
            except re2.error as error:
                raise UsageError(f"filter {clause.name!r}: {clause.value!r} is not an RE2 pattern: {error}") from error


def value_kind(clause: FilterClause) -> str:
    """The type of a clause's value: ``"text"``, ``"number"``, ``"boolean"``, or ``"any"`` for null tests.

    Raises:
        UsageError: the values of an ``in`` are of several types.
    """
    if clause.op in _NULL_OPS:
        return "any"
    values = clause.value if isinstance(clause.value, tuple) else (clause.value,)
    kinds = {_kind_of_value(value) for value in values}
    if len(kinds) != 1:
        raise UsageError(f"filter {clause.name!r}: the values have different types: {' and '.join(sorted(kinds))}")
    return kinds.pop()


def apply_filter(
    clauses: Sequence[FilterClause], columns: Sequence[pa.Array], rows: int
) -> tuple[np.ndarray, Counter[str]]:
    """Apply the clauses to the rows of a batch.

    Args:
        clauses: in order; a row is dropped under the first that does not hold for it.
        columns: each clause's column, ``rows`` long; text as string, large_string or a dictionary of them.
        rows: R.

    Returns:
        bool [R], true for rows that stay, and the number of dropped rows by clause name. Null satisfies ``is_null``
        only.

    Raises:
        UsageError: a column and a value are of different types.
    """
    stay = np.ones(rows, dtype=bool)
    dropped: Counter[str] = Counter()
    for clause, column in zip(clauses, columns, strict=True):
        passed = stay & _holds(clause, column)
        count = int(stay.sum() - passed.sum())
        if count:
            dropped[clause.name] = count
        stay = passed
    return stay, dropped


def _holds(clause: FilterClause, column: pa.Array) -> np.ndarray:
    if clause.op == "is_null":
        mask = pc.is_null(column)
    elif clause.op == "not_null":
        mask = pc.is_valid(column)
    elif pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=bool)
    else:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        column_kind, expected_kind = _kind_of_type(column.type), value_kind(clause)
        if column_kind != expected_kind or (clause.op == "matches" and column_kind != "text"):
            raise UsageError(
                f"filter {clause.name!r}: cannot compare column {clause.column!r} ({column_kind}, {column.type}) with "
                f"{clause.value!r} ({expected_kind})"
            )
        mask = pc.fill_null(_compare(clause, column), False)
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool)


def _compare(clause: FilterClause, column: pa.Array) -> pa.Array:
    if clause.op == "matches":
        return pc.match_substring_regex(column, pattern=clause.value)
    if clause.op in ("in", "not_in"):
        assert isinstance(clause.value, tuple)
        matches = [pc.equal(*_operands(column, value)) for value in clause.value]
        mask = matches[0]
        for mask_of_value in matches[1:]:
            mask = pc.or_(mask, mask_of_value)
        return mask if clause.op == "in" else pc.invert(mask)
    return _COMPARISONS[clause.op](*_operands(column, clause.value))


def _operands(column: pa.Array, value: object) -> tuple[pa.Array, pa.Scalar]:
    """A column and a value of one type, so that the comparison is exact.

    A float with a fraction is below 2^53 in absolute value, so rounding a larger integer to float64 cannot move it past
    the float.
    """
    types = pa.types
    if isinstance(value, str | bool):
        return column, pa.scalar(value)
    number = value if isinstance(value, int | float) else 0
    if types.is_integer(column.type):
        least = 0 if types.is_unsigned_integer(column.type) else -(2**63)
        most = 2**64 if types.is_uint64(column.type) else 2**63
        if least <= number < most and number == int(number):
            return column, pa.scalar(int(number), pa.uint64() if types.is_uint64(column.type) else pa.int64())
    return column.cast(pa.float64(), safe=False), pa.scalar(float(number), pa.float64())


def _kind_of_value(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "text"


def _kind_of_type(type_: pa.DataType) -> str:
    types = pa.types
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return "text"
    if types.is_boolean(type_):
        return "boolean"
    if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_):
        return "number"
    return str(type_)
