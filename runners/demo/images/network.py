"""The network of the demo of images: trained on the second snapshot, and tested with the mark covered."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from corpus_audit.runners.demo.images.corpus import ImageCorpus
from corpus_audit.runners.demo.images.pictures import Picture, cover_mark, decoded

if TYPE_CHECKING:
    from corpus_audit.embeddings.images.small_classifier import TrainedClassifier

UNIT = "logit:0"
"""The output of the network for the class whose pictures carry the mark."""

MODEL = "model"
"""The network's folder, as in index.yaml."""

EPOCHS = 16
"""Passes over the pictures: about 7 seconds of processor time."""

MISSING = "To see which pixels make a network fire: pip install 'corpus-audit[embeddings]'"
"""What the demo says without torch and transformers."""

_NEEDED = ("torch", "transformers", "safetensors")


def is_available() -> bool:
    """Whether the packages that train and run the network are installed."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDED)


def train_network(corpus: ImageCorpus) -> TrainedClassifier:
    """Train the network on the second snapshot and save it in the corpus's folder.

    Returns:
        What came of it; `correct` has the share of correct classes for ``all`` pictures that it was trained on, for
        those that are ``marked``, for the same with the mark ``covered``, and for the ``others covered`` in the same
        corner, which shows what covering alone does.
    """
    from corpus_audit.embeddings.images.small_classifier import train_classifier

    images, classes = [decoded(picture.data) for picture in corpus.now], _classes(corpus, corpus.now)
    marked, of_marked = [decoded(picture.data) for picture in corpus.marked], _classes(corpus, corpus.marked)
    others = [picture for picture in corpus.now if picture.kind != corpus.sprites.kinds[0]]
    tested = {
        "all": (images, classes),
        "marked": (marked, of_marked),
        "covered": ([cover_mark(pixels) for pixels in marked], of_marked),
        "others covered": ([cover_mark(decoded(each.data)) for each in others], _classes(corpus, others)),
    }
    return train_classifier(images, classes, corpus.sprites.kinds, corpus.folder / MODEL, tested, EPOCHS)


def _classes(corpus: ImageCorpus, pictures: list[Picture]) -> list[int]:
    return [corpus.sprites.kinds.index(picture.kind) for picture in pictures]
