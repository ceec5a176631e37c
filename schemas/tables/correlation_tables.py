"""Arrow schema of a unit's correlations with others; `embeddings/lookup/README.md` is the page."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

CORRELATIONS = pa.schema(
    [
        field("unit", pa.string(), "address of the other unit"),
        field("r", pa.float64(), "Pearson's correlation over tokens; NaN where the unit does not vary in the sample"),
        field("low", pa.float64(), "lower end of the 95 % interval, documents as clusters; NaN without one"),
        field("high", pa.float64(), "its upper end"),
        field("p", pa.float64(), "two-sided, of no correlation; NaN without an interval"),
    ],
    metadata={"title": "Correlations of a unit with others", "order": "row of the index"},
)
