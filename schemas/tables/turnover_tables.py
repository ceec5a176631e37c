"""Arrow schemas of what became of a baseline's documents: how many were kept, edited, added or removed, and which.

They are among the drift tables; see `schemas.tables.drift_tables`.
"""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import BASELINE, DOMAIN_OR_ALL, field

TURNOVER = pa.schema(
    [
        BASELINE,
        DOMAIN_OR_ALL,
        field("kept", pa.int64(), "documents that both hold in this domain, byte for byte", "documents"),
        field(
            "edited",
            pa.int64(),
            "documents that both hold in this domain, with other bytes",
            "documents",
            nullable=True,
        ),
        field(
            "renamed",
            pa.int64(),
            "of the kept and edited, those under another id than before",
            "documents",
            nullable=True,
        ),
        field("added", pa.int64(), "current documents that the baseline lacks in this domain", "documents"),
        field("removed", pa.int64(), "baseline documents that the current lacks in this domain", "documents"),
        field(
            "replaced",
            pa.int64(),
            "of the removed, those whose id the current has for another text, which is one of the added",
            "documents",
            nullable=True,
        ),
        field("moved_in", pa.int64(), "of the added, kept and edited ones of other domains", "documents"),
        field("moved_out", pa.int64(), "of the removed, those that were kept or edited in other domains", "documents"),
        field("kept_tokens", pa.int64(), "tokens of the kept", "tokens"),
        field("edited_tokens_baseline", pa.int64(), "tokens of the edited, as they were", "tokens", nullable=True),
        field("edited_tokens_current", pa.int64(), "tokens of the edited, as they are", "tokens", nullable=True),
        field("renamed_tokens", pa.int64(), "tokens of the renamed, as they are", "tokens", nullable=True),
        field(
            "added_copies",
            pa.int64(),
            "of the added, copies of a text that the baseline has",
            "documents",
            nullable=True,
        ),
        field("added_tokens", pa.int64(), "tokens of the added", "tokens"),
        field("removed_tokens", pa.int64(), "tokens of the removed", "tokens"),
        field("kept_squared", pa.float64(), "sum over the kept of tokens^2", "tokens^2"),
        field("unlisted", pa.int64(), "changed documents that document_changes leaves out", "documents"),
        field("reason", pa.string(), "why a column is null", nullable=True),
    ],
    metadata={
        "title": "Documents kept, edited, renamed, added, removed and replaced",
        "order": "baseline, domain ((all) first)",
    },
)

EDIT_SIZES = pa.schema(
    [
        BASELINE,
        field("domain", pa.string(), "the current domain, or (all)"),
        field("figure", pa.string(), "similarity, tokens_baseline, tokens_change or tokens_current"),
        field("documents", pa.int64(), "edited documents", "documents"),
        *(
            field(name, pa.float64(), f"{name[1:]} % quantile over the documents", "tokens; 1 for similarity")
            for name in ("p05", "p25", "p50", "p75", "p95")
        ),
        field("mean", pa.float64(), "mean over the documents", "tokens; 1 for similarity"),
    ],
    metadata={"title": "How much edited documents changed", "order": "baseline, domain ((all) first), figure"},
)


def _changed(name: str, type_: pa.DataType, text: str, unit: str = "") -> list[pa.Field]:
    """A column for either side of DOCUMENT_CHANGES."""
    return [
        field(f"{name}_{side}", type_, f"{text}, {when}", unit, nullable=True)
        for side, when in (("baseline", "as it was"), ("current", "as it is"))
    ]


_CHANGED = [
    _changed("domain", pa.string(), "its domain"),
    _changed("id", pa.string(), "its id"),
    _changed("hash", pa.string(), "its content hash in hex"),
    _changed("tokens", pa.int64(), "its tokens", "tokens"),
]

DOCUMENT_CHANGES = pa.schema(
    [
        BASELINE,
        field("kind", pa.string(), "kept (if renamed or moved), edited, replaced, removed or added"),
        field("renamed", pa.bool_(), "whether a kept or edited document has another id than before"),
        field("moved", pa.bool_(), "whether it is in another domain than before"),
        field("documents", pa.int64(), "documents with these ids and texts", "documents"),
        *(before for before, _ in _CHANGED),
        *(now for _, now in _CHANGED),
        field("similarity", pa.float64(), "estimated Jaccard similarity of the texts", "share", nullable=True),
    ],
    metadata={
        "title": "Documents that are not as they were, the 100,000 with most tokens",
        "order": "baseline, tokens of the larger side times documents descending, kind",
    },
)

EDIT_PATTERNS = pa.schema(
    [
        BASELINE,
        field("domain", pa.string(), "the current domain, or (all)"),
        field("direction", pa.string(), "vanished (only the version before has it) or came (only the version now)"),
        field("text", pa.string(), "the passage, decoded token by token"),
        field("tokens", pa.int64(), "its length", "tokens"),
        field(
            "documents",
            pa.int64(),
            "edited documents that most of it vanished from, or came into",
            "documents",
        ),
        field("edited", pa.int64(), "edited documents of the domain that were looked at, in the sample", "documents"),
        field("example", pa.string(), "one of them as it is: its id, else its content hash"),
        field("diff", pa.string(), "lines of it around the passage; null if it is long", nullable=True),
    ],
    metadata={
        "title": "Passages that vanished from, or came into, many edited documents (sampled by id)",
        "order": "baseline, domain ((all) first), direction (vanished first), documents descending, tokens descending",
    },
)
