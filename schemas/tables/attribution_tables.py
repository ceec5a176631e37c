"""Arrow schemas of attributions and prototypes of a unit; `embeddings/attribution/README.md` is the format's page."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

ATTRIBUTIONS = pa.schema(
    [
        field("window", pa.uint64(), "first 8 bytes of the window's id; null for a text of the user", nullable=True),
        field("document", pa.binary(16), "the document's key in the index", nullable=True),
        field("domain", pa.string(), "value of the primary facet of its (first) document", nullable=True),
        field("shard", pa.string(), "where that document is", nullable=True),
        field("row", pa.int64(), "its row within the shard's split", nullable=True),
        field("id", pa.string(), "the document's own id", nullable=True),
        field("text", pa.string(), "the text from the window's first to its last token"),
        field("text_start", pa.int64(), "code points of the document before it", "characters"),
        field("position", pa.int32(), "the token whose activation is attributed, within the window"),
        field("value", pa.float64(), "F(x), the activation there"),
        field("baseline_value", pa.float64(), "F(b), with every token of the text replaced by the baseline"),
        field("tokens", pa.list_(pa.int32()), "token ids as the model sees them, special ones included"),
        field("starts", pa.list_(pa.int32()), "where each token begins in text; -1 for special ones", "characters"),
        field("ends", pa.list_(pa.int32()), "where each token ends in text; -1 for special ones", "characters"),
        field(
            "attribution", pa.list_(pa.float64()), "each token's part, in the unit's own scale; signed but for saliency"
        ),
        field("steps", pa.int32(), "points of the quadrature of integrated gradients", nullable=True),
        field("completeness_error", pa.float64(), "|sum - (F(x) - F(b))| / max(|F(x)|, |F(b)|)", nullable=True),
        field("converged", pa.bool_(), "whether that is within the tolerance", nullable=True),
        field("deletion", pa.float64(), "area under the deletion curve, in the attribution's order", nullable=True),
        field("insertion", pa.float64(), "area under the insertion curve", nullable=True),
        field("random_areas", pa.list_(pa.float64()), "areas of random orders, ascending", nullable=True),
        field(
            "randomised_block",
            pa.float64(),
            "Spearman correlation with the attribution after the weights of the unit's block were permuted",
            nullable=True,
        ),
        field("randomised_all", pa.float64(), "likewise, of all blocks up to the unit's", nullable=True),
    ],
    metadata={"title": "Attribution of a unit's activation to tokens", "order": "value, descending (of a list)"},
)

PROTOTYPES = pa.schema(
    [
        field("restart", pa.int32(), "which restart of the search, from 0"),
        field("start", pa.string(), "what the search began from: example, or random tokens"),
        field("tokens", pa.list_(pa.int32()), "the text's token ids, without special ones"),
        field("text", pa.string(), "what the tokenizer makes of them; synthetic, no text of the corpus"),
        field("value", pa.float64(), "the unit's highest activation on these ids"),
        field("text_value", pa.float64(), "the same, of the text when it is tokenized again", nullable=True),
        field("iterations", pa.int32(), "iterations that were run"),
    ],
    metadata={"title": "Synthetic token sequences that maximise a unit", "order": "value, descending"},
)
