"""Makes the table of an index's documents from a merged scan."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.activation_tables import DOCUMENTS


def documents_table(members: pa.Table, snapshot: str) -> pa.Table:
    """Shard and row of every document, in the schema DOCUMENTS and its order."""
    columns = {
        "document": members["document"],
        "snapshot": pa.array([snapshot] * len(members), pa.string()).dictionary_encode(),
        "shard": members["shard"].combine_chunks().dictionary_encode(),
        "row": members["row"],
        "split": members["split"],
        "domain": members["domain"].combine_chunks().dictionary_encode(),
        "id": members["id"],
    }
    return pa.table([columns[field.name] for field in DOCUMENTS], schema=DOCUMENTS)
