"""Reads images of a corpus again, by shard, split and row; nothing here needs torch."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from corpus_audit.pipelines.images.decoding import ImageLimits, decode_image
from corpus_audit.pipelines.reading.documents.batches import ReadSettings, SplitTally
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.snapshot import Shard, ShardPlan
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.spec.audit_file import LoadedAudit

SplitRow = tuple[str, int, int]
"""Shard by name, split, and row within the split."""


@dataclass(frozen=True, slots=True)
class CorpusImage:
    """An image of a corpus.

    Attributes:
        key: of its document, as the index names it: it tells whether it is still the same image.
        data: the encoded file.
        context: the first 8 bytes of the file's BLAKE2b-128.
    """

    key: bytes
    data: bytes
    context: int


def image_key(document_id: str | None, file_hash: bytes, caption: str) -> bytes:
    """The 16-byte key of an image document: BLAKE2b-128 of its id (if it has one), its file's hash and its caption.

    ``file_hash``: BLAKE2b-128 of the encoded file.
    """
    name = b"" if document_id is None else document_id.encode()
    content = len(name).to_bytes(8, "big") + name + file_hash + caption.encode()
    return hashlib.blake2b(content, digest_size=16).digest()


def image_of(document_id: str | None, data: bytes, caption: str) -> CorpusImage:
    """The image of a document."""
    digest = hashlib.blake2b(data, digest_size=16).digest()
    return CorpusImage(image_key(document_id, digest, caption), data, int.from_bytes(digest[:8], "big"))


class ImageSource:
    """Images of an audit's corpus.

    Args:
        audit: what it reads.
        plans: by shard name, those that are known; others are planned when an image of theirs is read.
        shards: by name.
    """

    def __init__(self, audit: AuditSpec, plans: Mapping[str, ShardPlan], shards: Mapping[str, Shard]) -> None:
        self._audit, self._plans, self._shards = audit, dict(plans), shards

    @classmethod
    def of_plans(cls, audit: AuditSpec, plans: Iterable[ShardPlan]) -> ImageSource:
        """The images of planned shards."""
        return cls(audit, {plan.shard.name: plan for plan in plans}, {})

    @classmethod
    def of_audit(cls, loaded: LoadedAudit) -> ImageSource:
        """The images of an audit's corpus as it is now.

        Raises:
            UsageError: the audit is of no images.
        """
        if not loaded.spec.has_images:
            raise UsageError("the audit is of no images: document.image names none")
        shards = list_files(loaded.spec.snapshot, loaded.base, loaded.own_folders, True).shards
        return cls(loaded.spec, {}, {shard.name: shard for shard in shards})

    def read(self, wanted: Iterable[SplitRow]) -> Iterator[tuple[SplitRow, CorpusImage]]:
        """The images of rows, split by split; a row that has none any more is left out.

        Raises:
            ShardError: a shard cannot be read.
        """
        rows: dict[tuple[str, int], set[int]] = defaultdict(set)
        for shard, split, row in wanted:
            rows[shard, split].add(row)
        for (shard, split), selected in sorted(rows.items()):
            plan = self._plan(shard)
            if plan is not None and plan.error is None and split < len(plan.splits):
                for row, image in self._split(plan, split, selected):
                    yield (shard, split, row), image

    def _plan(self, name: str) -> ShardPlan | None:
        if name not in self._plans and name in self._shards:
            self._plans[name] = plan_shard(self._shards[name], None, lambda count: None)
        return self._plans.get(name)

    def _split(self, plan: ShardPlan, split: int, wanted: set[int]) -> Iterator[tuple[int, CorpusImage]]:
        last = max(wanted)
        settings = replace(ReadSettings.of(self._audit), describe_images=False)
        for batch in read_split(plan.shard, plan.splits[split], settings, SplitTally()):
            if batch.images is not None:
                for i in np.flatnonzero(np.isin(batch.rows, list(wanted))).tolist():
                    document_id = None if batch.ids is None else batch.ids[i].as_py()
                    yield int(batch.rows[i]), image_of(document_id, batch.images[i].as_py(), batch.text[i].as_py())
            if len(batch.rows) and batch.rows[-1] >= last:
                return


def decoded(data: bytes, audit: AuditSpec) -> np.ndarray:
    """The pixels of an image under an audit's limits, uint8 [H, W, 3]; raises `ImageRefused`."""
    limits = audit.image_limits
    return decode_image(data, ImageLimits(limits.max_bytes, limits.max_pixels, limits.max_frames)).pixels
