"""The content hash of an image with its caption: of both, and of the text alone where there is no image."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.images.content_hash import content_hashes
from corpus_audit.pipelines.images.properties import ImageProperties, image_properties
from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.tokens.tokenization import text_buffers
from tests.pipelines.images.making import LIMITS, encoded, smooth


def hashes(captions: list[str], images: ImageProperties | None) -> list[tuple[int, int]]:
    offsets, data = text_buffers(pa.array(captions, pa.large_string()))
    high, low = content_hashes(data, offsets, images)
    return list(zip(high.tolist(), low.tolist(), strict=True))


def test_image_and_caption_both_count() -> None:
    first, second = encoded(smooth(1)), encoded(smooth(2))
    properties, _ = image_properties([first, first, first, second], LIMITS)
    a, same, other_caption, other_image = hashes(["one", "one", "two", "one"], properties)
    assert a == same
    assert len({a, other_caption, other_image}) == 3
    # The same wherever a batch begins, and for a slice of an array.
    offsets, data = text_buffers(pa.array(["x", "two"], pa.large_string()).slice(1))
    high, low = content_hashes(data, offsets, properties.take(np.array([2])))
    assert (int(high[0]), int(low[0])) == other_caption


def test_texts_alone_have_the_hash_of_texts() -> None:
    offsets, data = text_buffers(pa.array(["one", ""], pa.large_string()))
    high, low = hash_documents(data, offsets)
    assert hashes(["one", ""], None) == list(zip(high.tolist(), low.tolist(), strict=True))
