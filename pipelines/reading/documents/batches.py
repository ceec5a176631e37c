"""The output of readers: batches of valid documents, and a tally of every row of a split."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.images.properties import ImageProperties
from corpus_audit.schemas.run.dead_letters import DeadLetterReason
from corpus_audit.schemas.spec.audit import AuditSpec, DocumentSpec, FilterClause, ImagesSpec, LimitsSpec

PRIMARY = "domain"
"""Name of the primary facet among a batch's facets."""

LETTERS_PER_REASON = 1000
"""Dead letters of one reason that are kept per split; all are counted."""


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """The parts of an audit spec that a reader needs.

    ``plain_labels``: whether a JSON row whose label is an object or a list is a dead letter, as it must be where labels
    are compared (a benchmark's answers); by default the label is the value's JSON. ``images``: limits of images, where
    ``document.image`` names them. ``thumbnails``: whether thumbnails are made of them. ``describe_images``: whether
    images are decoded and measured; if not, they are handed on as they are, also those that cannot be decoded.
    """

    document: DocumentSpec
    filter: tuple[FilterClause, ...] = ()
    limits: LimitsSpec = field(default_factory=LimitsSpec)
    plain_labels: bool = False
    images: ImagesSpec = field(default_factory=ImagesSpec)
    thumbnails: bool = True
    describe_images: bool = True

    @classmethod
    def of(cls, spec: AuditSpec) -> ReadSettings:
        """The settings of an audit."""
        return cls(spec.document, spec.filter, spec.limits, images=spec.image_limits, thumbnails=spec.excerpts)


@dataclass(frozen=True, slots=True)
class DocumentBatch:
    """Documents of one split, in order, at most a few megabytes of text; D of them.

    Attributes:
        rows: int64 [D], the row within the split.
        text: pa.LargeStringArray [D] without nulls, every value valid UTF-8.
        ids: pa.LargeStringArray [D] or None; values may be null.
        facets: name -> pa.DictionaryArray [D] (int32 indices, string values) without nulls; the primary facet is
            `PRIMARY`. Null and empty values are `schemas.tables.run_tables.NO_VALUE`.
        cluster: pa.LargeStringArray [D], null where a document has no cluster value and is a cluster by itself; None
            when all documents are.
        images: of an image corpus, pa.LargeBinaryArray [D] without nulls, the images' files; else None, like the next
            two.
        properties: what was measured of the decoded images; see `ImageProperties`. None also where images are not
            described.
        captioned: bool [D], whether the document has a caption; the text of one without is empty.
    """

    rows: np.ndarray
    text: pa.LargeStringArray
    ids: pa.LargeStringArray | None
    facets: dict[str, pa.DictionaryArray]
    cluster: pa.LargeStringArray | None
    images: pa.LargeBinaryArray | None = None
    properties: ImageProperties | None = None
    captioned: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that could not be counted: its digest and size, and its first bytes only if the spec allows excerpts."""

    row: int
    reason: DeadLetterReason
    sha256: str
    bytes: int
    excerpt: str | None = None


@dataclass(slots=True)
class SplitTally:
    """Outcome of every row of a split; ``rows`` = ``documents`` + dead letters + filtered, always.

    ``row_bytes`` and ``dead_bytes`` are of the same kind, so that one bounds the other: bytes of the rows' lines
    without their ends in JSON lines, of the rows' texts and images in columnar formats, of the members of archives.
    ``members`` counts members of archives that are no part of a document, by their ending, and ``uncaptioned`` images
    without a caption.
    """

    rows: int = 0
    documents: int = 0
    row_bytes: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    dead_bytes: Counter[str] = field(default_factory=Counter)
    letters: list[DeadLetter] = field(default_factory=list)
    members: Counter[str] = field(default_factory=Counter)
    uncaptioned: int = 0

    def add_letter(self, letter: DeadLetter) -> None:
        """Count a dead letter, and keep it while there are fewer than `LETTERS_PER_REASON` of its reason."""
        self.dead[letter.reason.value] += 1
        self.dead_bytes[letter.reason.value] += letter.bytes
        if self.dead[letter.reason.value] <= LETTERS_PER_REASON:
            self.letters.append(letter)

    @property
    def conserved(self) -> bool:
        """Whether every row read is accounted for."""
        return self.rows == self.documents + self.dead.total() + self.filtered.total()
