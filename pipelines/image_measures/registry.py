"""The measures of image corpora. Adding one is a new file and a line here."""

from __future__ import annotations

from corpus_audit.pipelines.image_measures.copies import ImageCopies
from corpus_audit.pipelines.image_measures.images_of_block import ImageMeasure
from corpus_audit.pipelines.image_measures.kinds import ImageKinds
from corpus_audit.pipelines.image_measures.sizes import ImageSizes
from corpus_audit.pipelines.image_measures.thumbnails import Thumbnails
from corpus_audit.pipelines.image_measures.totals import ImageTotals
from corpus_audit.schemas.spec.audit import AuditSpec

ALWAYS: tuple[ImageMeasure, ...] = (ImageTotals(), ImageSizes(), ImageKinds(), ImageCopies())


def image_measures_of(spec: AuditSpec) -> tuple[ImageMeasure, ...]:
    """The measures of images that an audit of an image corpus asks for, in a fixed order."""
    return (*ALWAYS, Thumbnails()) if spec.excerpts else ALWAYS
