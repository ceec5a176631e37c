"""Token counters of the documents that a baseline holds too, which drift statistics treat apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpus_audit.pipelines.measures.base import Block
from corpus_audit.pipelines.measures.overlap.baseline_keys import BaselineKeys
from corpus_audit.pipelines.measures.tokens import Tokens
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec


class Shared(Tokens):
    """`Tokens` of those documents whose text the baseline has in the same domain.

    A shard that both snapshots hold is shared as it stands: its partial of `Tokens` serves, and nothing is read. In the
    other shards every copy of a text that the baseline has counts as shared; those beyond the baseline's number are
    taken out once everything is counted (`pipelines.counting.surplus`).
    """

    def __init__(self, keys: BaselineKeys) -> None:
        self.keys = keys
        self.name = f"shared-{keys.digest[:16]}"

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """Those of `Tokens`, and the baseline."""
        return super().settings(spec) | {"baseline": self.keys.digest, "tokens": Tokens.version}

    def wants(self, sha256: str, spec: AuditSpec) -> bool:
        """Whether a shard has to be looked at document by document."""
        return sha256 not in self.keys.shards or domain_from_path(spec)

    def count(self, block: Block) -> Partial:
        """Count the shared documents of one block."""
        in_baseline = np.flatnonzero(self.keys.holds(block.high, block.low, block.domains, block.names))
        return super().count(block.take(in_baseline)) if len(in_baseline) else self.empty()


def domain_from_path(spec: AuditSpec) -> bool:
    """Whether a document's domain depends on where its shard lies, so that equal shards may differ in it."""
    source = spec.document.domain
    return not isinstance(source, str) and hasattr(source, "path")
