"""Merkle trees as RFC 6962, section 2.1: one hash stands for a list."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from corpus_audit.schemas.run import strict_json


def shard_leaf(name: str, size: int, sha256: str) -> bytes:
    """What the tree of a manifest holds of a shard: JSON of name, size (in decimal) and SHA-256 (in hex)."""
    return strict_json.dumps([name, str(size), sha256])


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256 of 0x00 and the entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(entries: Sequence[bytes]) -> bytes:
    """The tree's hash, 32 bytes. Of no entry it is SHA-256 of nothing.

    Level by level, the odd one out goes up as it is: the same tree as the RFC's recursion.
    """
    level = [leaf_hash(entry) for entry in entries]
    if not level:
        return hashlib.sha256().digest()
    while len(level) > 1:
        level = _above(level)
    return level[0]


def _above(level: list[bytes]) -> list[bytes]:
    pairs = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs if len(level) % 2 == 0 else [*pairs, level[-1]]
