"""The shards of a signed run: read from `MANIFEST.sha256` and the table of shards, and checked before they are used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from corpus_audit.checks.signoff import merkle
from corpus_audit.pipelines.reading.snapshot.names import name_problem
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run.signoff import Refusal
from corpus_audit.schemas.run.snapshot import manifest_text

MANIFEST = "MANIFEST.sha256"

_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


@dataclass(frozen=True, slots=True)
class SignedShard:
    """A signed shard; ``name`` is relative to the corpus's folder, ``size`` is in bytes, ``sha256`` in hex."""

    name: str
    size: int
    sha256: str


def read_manifest(data: bytes) -> list[tuple[str, str]]:
    """(name, sha256) of every line, in order, of a manifest in canonical form.

    Raises:
        VerificationError: not UTF-8, a line of another form, an unsafe or ambiguous name, or lines out of order.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("it is not UTF-8") from None
    entries = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise _refused(f"line {number} is not '<64 hex digits>  <name>'")
        entries.append((match[2], match[1]))
    problem = name_problem(name for name, _ in entries)
    if problem is not None:
        raise _refused(problem)
    if len({name for name, _ in entries}) != len(entries):
        raise _refused("two lines have the same name")
    # Written back and compared: one set of shards has one manifest, whose digest is then the snapshot's name.
    if manifest_text(entries) != text:
        raise _refused("its lines are not sorted by the bytes of the names, or the last one has no line end")
    return entries


def signed_shards(run: RunDirectory) -> tuple[SignedShard, ...]:
    """The shards of a run in the manifest's order, their sizes from the table of shards.

    Raises:
        VerificationError: the manifest is unsafe, or the table of shards differs from it.
        StoreError: the table cannot be read.
    """
    try:
        entries = read_manifest((run.folder / MANIFEST).read_bytes())
    except OSError as error:
        raise _refused(f"it cannot be read: {error.strerror}") from None
    table = run.table("shards")
    listed = {
        str(row["shard"]): (row["sha256"], int(row["bytes"]))
        for row in table.select(["shard", "sha256", "bytes"]).to_pylist()
    }
    if len(listed) != len(table) or {(name, sha256) for name, (sha256, _) in listed.items()} != set(entries):
        raise _refused("the table of shards has other shards or other digests")
    return tuple(SignedShard(name, listed[name][1], sha256) for name, sha256 in entries)


def merkle_root(shards: Iterable[SignedShard]) -> str:
    """Root over (name, size, sha256) of the shards in the given order, in hex."""
    return merkle.root([leaf(shard) for shard in shards]).hex()


def leaf(shard: SignedShard) -> bytes:
    """The tree's entry of a shard."""
    return merkle.shard_leaf(shard.name, shard.size, shard.sha256)


def total_bytes(shards: Sequence[SignedShard]) -> int:
    """Bytes of all shards."""
    return sum(shard.size for shard in shards)


def _refused(problem: str) -> VerificationError:
    return VerificationError(Refusal.MANIFEST, f"{MANIFEST}: {problem}")
