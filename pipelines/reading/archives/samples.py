"""Samples of an image corpus: an image with the files beside it, as members of an archive or files of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.reading.archives.tar_members import Content
from corpus_audit.pipelines.reading.documents.assembly import BATCH_BYTES, EXCERPT_BYTES, Fields, RowImages
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.json_rows import ObjectRows, parse_object
from corpus_audit.pipelines.reading.files.folder_archive import IMAGE_ENDINGS
from corpus_audit.schemas.run.dead_letters import DeadLetterReason
from corpus_audit.schemas.run.snapshot import Shard

ANY_IMAGE = "image"
"""``document.image`` of archives and folders where the image is the one member that is an image by its ending."""

KEY = "__key__"
"""Column of a sample's key, as the webdataset library calls it."""

_JSON, _TEXTS = "json", frozenset(("txt", "cls"))


@dataclass(slots=True)
class Sample:
    """A sample as it is read.

    Attributes:
        key: what its members have in common: their path up to the first dot of the name.
        columns: values by column: fields of its JSON, and its texts by their endings.
        source: the JSON, empty without one.
        image: the image's file; name: its name or ending.
        size: bytes of the members that make it up.
        refused: why the sample is a dead letter, with digest and first bytes of the member at fault; the first counts.
        endings: of the members that were read.
    """

    key: str
    columns: dict[str, Any] = field(default_factory=dict)
    source: bytes = b""
    image: bytes | None = None
    name: str | None = None
    size: int = 0
    refused: tuple[DeadLetterReason, str, bytes] | None = None
    endings: set[str] = field(default_factory=set)


class SampleReader:
    """Makes documents of samples, in batches of about `BATCH_BYTES`."""

    def __init__(self, shard: Shard, settings: ReadSettings, tally: SplitTally) -> None:
        self._fields = Fields.of(shard, settings)
        self._rows = ObjectRows(self._fields, settings, tally)
        self._settings, self._tally = settings, tally
        image = settings.document.image or ANY_IMAGE
        self._images = IMAGE_ENDINGS if image == ANY_IMAGE else frozenset((image.lower(),))
        self._texts = _TEXTS | {column.lower() for column in self._fields.columns}
        self._pending: list[tuple[int, Sample]] = []
        self._bytes = 0

    def add_member(self, sample: Sample, ending: str, size: int, content: Content) -> None:
        """Read a member into its sample if it is a part of it; others are counted by their ending."""
        is_image, is_json = ending in self._images, ending == _JSON
        if not (is_image or is_json or ending in self._texts):
            self._tally.members[ending] += 1
            return
        if ending in sample.endings:
            sample.size += size
            self.refuse(sample, DeadLetterReason.REPEATED_KEY, content)
            return
        sample.endings.add(ending)
        if is_image:
            self.add_image(sample, ending, size, content)
            return
        sample.size += size
        if size > self._settings.limits.document_bytes:
            self.refuse(sample, DeadLetterReason.TOO_LARGE, content)
        else:
            self._add_text(sample, ending, content.read())

    def add_image(self, sample: Sample, name: str, size: int, content: Content) -> None:
        """Read an image into its sample, unless it is too large or the second one."""
        sample.size += size
        if size > self._settings.images.max_bytes:
            self.refuse(sample, DeadLetterReason.IMAGE_TOO_LARGE, content)
        elif sample.image is not None:
            self.refuse(sample, DeadLetterReason.SEVERAL_IMAGES, content)
        else:
            sample.image, sample.name = content.read(), name

    def _add_text(self, sample: Sample, ending: str, data: bytes) -> None:
        if ending == _JSON:
            value, reason = parse_object(data)
            sample.source = data
            sample.columns = value | sample.columns
        else:
            value, reason = {}, None
            try:
                text = data.decode("utf-8")
                sample.columns[ending] = text.strip() if ending == "cls" else text
            except UnicodeDecodeError:
                reason = DeadLetterReason.INVALID_UTF8
        if reason is not None and sample.refused is None:
            sample.refused = self.letter(reason, data)

    @staticmethod
    def letter(reason: DeadLetterReason, data: bytes) -> tuple[DeadLetterReason, str, bytes]:
        """A reason with digest and first bytes of what it is about."""
        return reason, hashlib.sha256(data).hexdigest(), data[:EXCERPT_BYTES]

    @staticmethod
    def refuse(sample: Sample, reason: DeadLetterReason, content: Content) -> None:
        """Make the sample a dead letter because of a member, whose content is read."""
        sha256, head = content.digest(EXCERPT_BYTES)
        if sample.refused is None:
            sample.refused = reason, sha256, head

    def finish(self, sample: Sample) -> Iterator[DocumentBatch]:
        """Add a whole sample as a row; gives the documents of the batch that it fills, if it does."""
        row = self._tally.rows
        self._tally.rows += 1
        self._tally.row_bytes += sample.size
        sample.columns[KEY] = sample.key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if sample.refused is None and self._rows.mistyped_for_filter(sample.columns):
            sample.refused = self.letter(DeadLetterReason.WRONG_TYPE, sample.source)
        if sample.refused is not None:
            reason, sha256, head = sample.refused
            self._rows.assembler.reject_digest(row, reason, sha256, sample.size, head)
            return
        self._pending.append((row, sample))
        self._bytes += sample.size
        if self._bytes >= BATCH_BYTES:
            yield from self.flush()

    def flush(self) -> Iterator[DocumentBatch]:
        """The documents of all samples that were added since the last batch."""
        rows, samples = [row for row, _ in self._pending], [sample for _, sample in self._pending]
        self._pending, self._bytes = [], 0
        if not samples:
            return
        images = RowImages(
            values=pa.array([sample.image for sample in samples], pa.large_binary()),
            sizes=np.array([sample.size for sample in samples], np.int64),
            without={},
            names=[sample.name for sample in samples],
        )
        columns = [sample.columns for sample in samples]
        sources = [sample.source for sample in samples]
        batch = self._rows.assemble(np.array(rows, np.int64), columns, sources, images)
        if batch is not None:
            yield batch


def key_and_ending(name: str) -> tuple[str, str] | None:
    """The key of a member and its ending in lower case, as webdataset's ``base_plus_ext`` divides names; None for names
    that belong to no sample: without an ending, hidden, or of the form ``__meta__``.

    ``images/0001.seg.png`` gives ``images/0001`` and ``seg.png``.
    """
    folder, slash, base = name.rpartition("/")
    stem, dot, ending = base.partition(".")
    if not stem or not dot or (not slash and name.startswith("__") and name.endswith("__")):
        return None
    return f"{folder}{slash}{stem}", ending.lower()
