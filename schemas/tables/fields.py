"""Declares a column of a published table: its type, its description and its unit; columns that many tables share."""

from __future__ import annotations

import pyarrow as pa

DOMAIN = pa.dictionary(pa.int32(), pa.string())


def field(name: str, type_: pa.DataType, about: str, unit: str = "", nullable: bool = False) -> pa.Field:
    """A column with its description and unit in the field's metadata; ``unit`` as a unit means the row's own."""
    metadata = {"description": about} | ({"unit": unit} if unit else {})
    return pa.field(name, type_, nullable=nullable, metadata=metadata)


BASELINE = field("baseline", pa.string(), "label of the baseline")
DOMAIN_OR_ALL = field("domain", pa.string(), "value of the primary facet, or (all)")

ADJUSTED = field(
    "p_adjusted",
    pa.float64(),
    "p over all tests of the comparison: q over its lens, at least the lens's p_adjusted; null where not tested",
    "probability",
    nullable=True,
)
"""A row shows more than chance where this is at most the level of DRIFT_CONCLUSION; see DRIFT_LENSES for the lenses."""
