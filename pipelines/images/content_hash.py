"""The content hash of a document that is an image with a caption: of both, so that neither alone makes a copy."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.images.properties import ImageProperties
from corpus_audit.pipelines.kernels.text.hashing import hash_documents


def content_hashes(
    data: np.ndarray, offsets: np.ndarray, images: ImageProperties | None
) -> tuple[np.ndarray, np.ndarray]:
    """The 128-bit content hash of D documents, as two uint64 [D].

    Args:
        data, offsets: the texts or captions, as `kernels.text.hashing.hash_documents` takes them.
        images: the documents' images; None in a corpus of texts, whose hashes are those of the texts.

    The hash of an image document is that of the 32 bytes of its image's hash and its caption's, little-endian words.
    """
    high, low = hash_documents(data, offsets)
    if images is None:
        return high, low
    words = np.stack([images.byte_high, images.byte_low, high, low], axis=1).astype("<u8")
    return hash_documents(words.view(np.uint8).ravel(), np.arange(len(high) + 1, dtype=offsets.dtype) * 32)
