"""Arrow schemas of the tables of an index about its whole snapshot; an audit of the same snapshot copies them."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

PROJECTION = pa.schema(
    [
        field("window", pa.uint64(), "first 8 bytes of the window's id"),
        field("domain", pa.string(), "value of the primary facet of its (first) document"),
        field("x", pa.float32(), "coordinate without unit: only neighbourhoods mean something"),
        field("y", pa.float32(), "likewise"),
    ],
    metadata={
        "title": "Windows in two dimensions: mean vectors, principal components, t-SNE (seed 0)",
        "order": "window",
    },
)

WINDOW_PEAKS = pa.schema(
    [
        field("window", pa.uint64(), "first 8 bytes of the window's id"),
        field("value", pa.float32(), "the unit's highest activation on a token of the window that counts"),
    ],
    metadata={"title": "Highest activations of a unit in the windows of a projection", "order": "window"},
)

SEMANTIC_ITEMS = pa.schema(
    [
        field("benchmark", pa.string(), "name of the benchmark"),
        field("item", pa.string(), "the item's id, else file and row"),
        field("cosine", pa.float64(), "with the nearest window; null for an item without a token", nullable=True),
        field("near", pa.bool_(), "whether that is above the threshold", nullable=True),
        field("window", pa.uint64(), "the nearest window", nullable=True),
        field("domain", pa.string(), "of its (first) document", nullable=True),
        field("document", pa.string(), "the document's id, else shard and row", nullable=True),
    ],
    metadata={"title": "The window nearest to every benchmark item", "order": "benchmark, item (of the file)"},
)

SEMANTIC = pa.schema(
    [
        field("benchmark", pa.string(), "name of the benchmark"),
        field("items", pa.int64(), "items with a token that counts: the denominator", "items"),
        field("untestable", pa.int64(), "items without one", "items"),
        field("near", pa.int64(), "items nearer to a window than the threshold", "items", nullable=True),
        field("share", pa.float64(), "near of items", "share", nullable=True),
        field("low", pa.float64(), "lower 95 % bound (Clopper-Pearson)", "share", nullable=True),
        field("high", pa.float64(), "upper 95 % bound (Clopper-Pearson)", "share", nullable=True),
        field("threshold", pa.float64(), "cosine that 1 % of one half of the decoys exceed", nullable=True),
        field("decoys", pa.int64(), "decoys of the other half", "decoys"),
        field("decoys_near", pa.int64(), "how many of those exceed it", "decoys", nullable=True),
        field("reason", pa.string(), "why there is no share", nullable=True),
    ],
    metadata={
        "title": "Benchmark items whose meaning is near to text of the corpus",
        "order": "benchmark (of the spec)",
    },
)

EMBEDDING_DRIFT = pa.schema(
    [
        field("baseline", pa.string(), "snapshot of the baseline's index"),
        field("documents_before", pa.int64(), "unshared documents of the baseline that were compared", "documents"),
        field("documents_after", pa.int64(), "unshared documents of this snapshot", "documents"),
        field("auc", pa.float64(), "held-out AUC of the classifier; 1/2 is no difference", nullable=True),
        field("low", pa.float64(), "lower 95 % bound", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", nullable=True),
        field("p", pa.float64(), "permutation p", nullable=True),
        field("permutations", pa.int64(), "permutations that were made"),
        field("units", pa.int64(), "units of both indexes", "units"),
        field("units_moved", pa.int64(), "units whose mean moved, at a q value of 5 %", "units", nullable=True),
        field("reason", pa.string(), "why there is no AUC", nullable=True),
    ],
    metadata={"title": "Whether a model tells the snapshot's documents from the baseline's", "order": "one row"},
)

UNIT_CROPS = pa.schema(
    [
        field("unit", pa.string(), "the unit's address"),
        field("label", pa.string(), "class of a logit, where the model names it", nullable=True),
        field(
            "domain",
            pa.string(),
            "it is more active in this domain than elsewhere; null: selected as it fires on few images",
            nullable=True,
        ),
        field("mean", pa.float64(), "mean activation on images of that domain", nullable=True),
        field("elsewhere", pa.float64(), "mean activation on all other images", nullable=True),
        field("low", pa.float64(), "lower 95 % bound of the difference of the means", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the difference of the means", nullable=True),
        field("fired", pa.float64(), "share of images on which the activation is above 0", "share"),
        field("rank", pa.int32(), "of the image among the unit's strongest, from 0"),
        field("value", pa.float32(), "the unit's activation on the image"),
        field("image_domain", pa.string(), "value of the primary facet of the image", nullable=True),
        field("document", pa.string(), "the image's id, else shard and row"),
        field(
            "shows",
            pa.string(),
            "what the crop shows: field, image, effective (a box with most of the squared "
            "gradient) or patch (the image with a patch framed)",
            nullable=True,
        ),
        field("share", pa.float64(), "of the squared gradient that an effective box holds", "share", nullable=True),
        field(
            "box",
            pa.list_(pa.int32()),
            "left, top, right, bottom (both excluded) of the field, box or patch in the image",
            "pixels",
            nullable=True,
        ),
        field("width", pa.int32(), "of the stored crop", "pixels", nullable=True),
        field("height", pa.int32(), "of the stored crop", "pixels", nullable=True),
        field("crop", pa.binary(), "PNG of at most 32 pixels a side, or JPEG of at most 64", nullable=True),
        field("reason", pa.string(), "why there is no crop", nullable=True),
    ],
    metadata={"title": "Crops of a few units' strongest images", "order": "unit (as selected), rank"},
)

EMBEDDING_TABLES: dict[str, pa.Schema] = {
    "projection": PROJECTION,
    "semantic": SEMANTIC,
    "semantic_items": SEMANTIC_ITEMS,
    "embedding_drift": EMBEDDING_DRIFT,
    "unit_crops": UNIT_CROPS,
}
"""File name (without .parquet) of each, in an index and in a run directory."""
