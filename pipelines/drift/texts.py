"""The text of tokens and an example document for each, from the runs' tables of examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.storage.run_directory import RunDirectory


@dataclass(frozen=True)
class Examples:
    """One document a token of a run; arrays of V rows, null where the token does not occur.

    Attributes:
        text: what the token decodes to.
        document: the document's id, or its content hash in hex.
        domain: the document's domain.
    """

    text: pa.Array
    document: pa.Array
    domain: pa.Array

    @classmethod
    def of(cls, run: RunDirectory, vocabulary: int) -> Examples:
        """From table TOKEN_EXAMPLES."""
        table = run.table("token_examples").combine_chunks()
        hexes = pa.array([value.hex() for value in table["hash"].to_pylist()], pa.string())
        document = pc.coalesce(table["id"].combine_chunks(), hexes)
        row_of_token = np.full(vocabulary, -1, np.int64)
        row_of_token[table["token"].to_numpy()] = np.arange(len(table))
        rows = pa.array(row_of_token, mask=row_of_token < 0)
        domain = table["domain"].combine_chunks().cast(pa.string())
        return cls(table["text"].combine_chunks().take(rows), document.take(rows), domain.take(rows))


def texts_of(tokens: npt.NDArray[np.integer], one: Examples, other: Examples) -> pa.Array:
    """What tokens decode to, by whichever run has them; ``token <id>`` where neither says."""
    rows = pa.array(tokens.astype(np.int64))
    named = pa.array([f"token {token}" for token in tokens.tolist()], pa.string())
    return pc.coalesce(one.text.take(rows), other.text.take(rows), named)
