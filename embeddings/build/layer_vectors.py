"""Mean vectors of stored windows at any block, not only that whose vectors an index holds: the model runs once more."""

from __future__ import annotations

import numpy as np

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.index.vectors import unit
from corpus_audit.embeddings.lookup.corpus_pass import sample_of_windows
from corpus_audit.embeddings.numpy_models.bert import UnknownModelError
from corpus_audit.embeddings.numpy_models.encoder import batches, open_numpy_model
from corpus_audit.embeddings.scan.windows import Windows
from corpus_audit.schemas.errors import UsageError


def block_means(index: Index, most: int, block: int, model: str | None = None) -> np.ndarray:
    """The mean over the tokens that count of the windows that have vectors, at length 1, float32 [N, d].

    Args:
        index: the index.
        most: windows at most, those of lowest name; ascending by name.
        block: at whose output.
        model: path of the model, if it has moved since the index was made.

    Raises:
        UsageError: the index has no vectors, the model has no such block, or it is not the index's.
        ModuleNotFoundError: the extra is not installed.
    """
    _, windows = sample_of_windows(index, most)
    light = open_numpy_model(index.facts, index.folder, model)
    if light is not None:
        if block >= light.network.blocks:
            raise UsageError(f"the model has {light.network.blocks} blocks, from 0; there is no block {block}")
        means = np.zeros((len(windows), light.network.hidden), np.float32)
        try:
            for rows, at in batches(windows):
                stream, counted = light.network.run(windows.tokens[at], block), windows.counted[at]
                means[rows] = (stream * counted[..., None]).sum(axis=1) / counted.sum(axis=1, keepdims=True)
            return unit(means)
        except UnknownModelError:
            pass
    return _with_torch(index, windows, block, model)


def _with_torch(index: Index, windows: Windows, block: int, model: str | None) -> np.ndarray:
    from corpus_audit.embeddings.models.hooks import Taps
    from corpus_audit.embeddings.scan.encoder import BATCH_TOKENS, open_model
    from corpus_audit.embeddings.scan.forward import pool
    from corpus_audit.embeddings.scan.pooling import Pooling

    taps = Taps(open_model(index.facts, index.folder, model), (), stream=block)
    pooling = Pooling(taps.hidden, 1)
    with taps.hooked():
        pool(taps, windows, BATCH_TOKENS, pooling)
    return pooling.vectors().mean  # ascending by name, as the windows are
