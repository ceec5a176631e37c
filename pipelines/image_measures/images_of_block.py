"""What every image measure has in common: the images of a block, the version of their decoder, the domain."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from corpus_audit.pipelines.images.properties import ImageProperties
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.schemas.spec.audit import AuditSpec


class ImageMeasure(Measure):
    """A measure of images; the blocks that it counts hold `Block.images`."""

    uses_tokens = False

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain, and Pillow's version: decoders of two versions may give other pixels for the same JPEG."""
        return {"domain": domain_settings(spec.document)["domain"], "pillow": importlib.metadata.version("pillow")}


def images_of(block: Block) -> ImageProperties:
    """The images of a block.

    Raises:
        ValueError: when the block is of an audit of texts.
    """
    if block.images is None:
        raise ValueError("a block without images: image measures count blocks of image corpora only")
    return block.images
