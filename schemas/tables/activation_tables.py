"""Arrow schemas of an activation index, units in the field metadata; `embeddings/README.md` is the format's page."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

RECORDS = pa.schema(
    [
        field("point", pa.dictionary(pa.int32(), pa.string()), "where the unit is, such as mlp.3"),
        field("unit", pa.int32(), "its index there"),
        field("list", pa.dictionary(pa.int8(), pa.string()), "top, domain, minimum or sample"),
        field("domain", pa.dictionary(pa.int32(), pa.string()), "the domain of a domain's top list", nullable=True),
        field("rank", pa.int16(), "place in the list, from 0; of a sample, the bin of its value"),
        field(
            "value", pa.float32(), "activation at the peak; of a minimum, the lowest (before the activation function)"
        ),
        field("window", pa.uint64(), "first 8 bytes of the window's id"),
        field("position", pa.uint16(), "the peak's token, from 0, within the window as the model sees it", "tokens"),
        field("context", pa.uint64(), "hash of up to 8 tokens that end at the peak"),
    ],
    metadata={"title": "Examples of every unit", "order": "point, unit, list, domain, rank"},
)

WINDOWS = pa.schema(
    [
        field("window", pa.uint64(), "first 8 bytes of the window's id"),
        field("id", pa.binary(16), "the window's id: hash of document, window settings and number"),
        field("document", pa.binary(16), "hash of the document's id and its text"),
        field("number", pa.int32(), "which window of its document, from 0"),
        field("text", pa.string(), "the text from its first to its last token"),
        field("text_start", pa.int64(), "code points of the document before it", "characters"),
        field("tokens", pa.list_(pa.int32()), "token ids as the model sees them, special ones included"),
        field("starts", pa.list_(pa.int32()), "where each token begins in text; -1 for special ones", "characters"),
        field("ends", pa.list_(pa.int32()), "where each token ends in text; -1 for special ones", "characters"),
        field("counted", pa.list_(pa.bool_()), "whether each token may be an example"),
    ],
    metadata={"title": "Windows that hold an example", "order": "window"},
)

DOCUMENTS = pa.schema(
    [
        field("document", pa.binary(16), "hash of the document's id and its text"),
        field("snapshot", pa.dictionary(pa.int32(), pa.string()), "digest of the snapshot that holds it"),
        field("shard", pa.dictionary(pa.int32(), pa.string()), "its shard"),
        field("row", pa.int64(), "its row within the shard's split, from 0"),
        field("split", pa.int32(), "the split of the shard"),
        field("domain", pa.dictionary(pa.int32(), pa.string()), "value of the primary facet"),
        field("id", pa.string(), "the document's own id", nullable=True),
    ],
    metadata={"title": "Where the documents of stored windows are", "order": "document, snapshot, shard, split, row"},
)
"""A document that occurs in several places has several rows."""

UNIT_DOMAINS = pa.schema(
    [
        field("point", pa.dictionary(pa.int32(), pa.string()), "where the unit is"),
        field("unit", pa.int32(), "its index there"),
        field("domain", pa.dictionary(pa.int32(), pa.string()), "value of the primary facet, or (all)"),
        field("tokens", pa.int64(), "tokens that count", "tokens"),
        field("fired", pa.int64(), "tokens with an activation above 0; of an expert, that it was chosen for", "tokens"),
        field("rate", pa.float64(), "fired / tokens", "share"),
        field("rate_low", pa.float64(), "lower 95 % bound, documents as clusters", "share", nullable=True),
        field("rate_high", pa.float64(), "upper 95 % bound", "share", nullable=True),
        field("mean", pa.float64(), "mean activation over tokens"),
        field("mean_low", pa.float64(), "lower 95 % bound, documents as clusters", nullable=True),
        field("mean_high", pa.float64(), "upper 95 % bound", nullable=True),
    ],
    metadata={"title": "How often and how strongly a unit fires, by domain", "order": "point, unit, domain"},
)
