"""Merkle trees of RFC 6962, section 2.1: one hash for a list of entries."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from corpus_audit.schemas.run import strict_json


def shard_leaf(name: str, size: int, sha256: str) -> bytes:
    """The tree's entry of a shard: JSON of name, size (in decimal) and SHA-256 (in hex)."""
    # The size is text, as in all signed JSON here: parsers read numbers beyond 2^53 in different ways.
    return strict_json.dumps([name, str(size), sha256])


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf: SHA-256 of 0x00 and the entry."""
    # Leaves and nodes begin with different bytes: else an entry could be made that is an inner node of another tree.
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(entries: Sequence[bytes]) -> bytes:
    """The root hash of the tree, 32 bytes; SHA-256 of the empty string if there is no entry.

    Computed level by level; the last node of an odd level moves up unchanged, which gives the RFC's tree.
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
