"""Windows of a corpus from its activation index, as a sample, with their documents and domains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import torch

from corpus_audit.embeddings.index.mapped_tables import DocumentLocation
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.embeddings.scan.batches import batch_ids, batches
from corpus_audit.embeddings.scan.windows import Windows, windows_of
from corpus_audit.schemas.errors import UsageError

BATCH_TOKENS = 2048

_WEIGHTS = 1 << 25
"""Attention weights of one block that are in memory at once, 128 MiB: batches are made smaller for it."""

_LOGITS = 1 << 25

VOCABULARY_WINDOWS = 20_000
"""Windows whose tokens count as those that the model may know."""


@dataclass(frozen=True)
class WindowSample:
    """N windows of the corpus.

    Attributes:
        windows: their tokens.
        names: uint64 [N].
        document: int64 [N], positions in `locations`.
        locations: of each of D documents, the first place where it is.
        is_random: whether they are a random sample of all windows (by their hashes), and not those that hold examples.
        available: how many windows there were to choose from.
    """

    windows: Windows
    names: np.ndarray
    document: np.ndarray
    locations: tuple[DocumentLocation, ...]
    is_random: bool
    available: int

    def __len__(self) -> int:
        return len(self.names)

    @property
    def domains(self) -> list[str]:
        """Domain of each of the D documents."""
        return [location.domain for location in self.locations]

    def tokens(self, window: int) -> np.ndarray:
        """Token ids of a window, int32 [L]."""
        return self.windows.tokens[self.windows.offsets[window] : self.windows.offsets[window + 1]]


def sample_windows(index: Index, count: int, skipped: int) -> WindowSample:
    """The windows of lowest name of an index, at most ``count``.

    A window's name is a hash, so that the windows of lowest name are a random sample of those that are stored. Windows
    with vectors are stored whatever they hold; in an index without vectors only windows that hold an example of some
    unit are there, which are no random sample of the corpus.

    Raises:
        UsageError: the index holds no window.
    """
    is_random = "arrays/vector.window.npy" in index.facts.files
    names = index.array("vector.window") if is_random else index.window_names
    if not len(names):
        raise UsageError(f"{index.folder} holds no windows")
    selected = np.asarray(names[:count])
    table = index.windows.take(np.searchsorted(index.window_names, selected))
    keys, document = np.unique(np.array(table["document"].to_pylist(), "S16"), return_inverse=True)
    locations = tuple(index.locations(bytes(key).ljust(16, b"\0"))[0] for key in keys)
    return WindowSample(
        windows_of(table, skipped), selected, document.astype(np.int64), locations, is_random, len(names)
    )


def corpus_tokens(index: Index) -> np.ndarray:
    """The token ids of the windows of lowest name of an index, at most `VOCABULARY_WINDOWS`, int64 ascending."""
    windows = index.windows.slice(0, VOCABULARY_WINDOWS)
    tokens: np.ndarray = np.unique(pc.list_flatten(windows["tokens"]).to_numpy())
    return tokens.astype(np.int64)


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Windows of one length.

    Attributes:
        windows: int64 [B], positions in the sample.
        ids: int64 [B', L], token ids on the device; rows from B on are repeats that fill the batch.
        counted: bool [B', L], tokens that count.
    """

    windows: np.ndarray
    ids: torch.Tensor
    counted: torch.Tensor


def sample_batches(sample: WindowSample, model: LanguageModel, vocabulary: int = 0) -> Iterator[SampleBatch]:
    """The windows in batches of one length, small enough for the attention of a block and for logits to be held.

    Args:
        sample: the windows.
        model: that reads them.
        vocabulary: ids of the logits that are held too; 0 if none are.
    """
    windows = sample.windows
    longest = int(windows.lengths.max())
    tokens = min(BATCH_TOKENS, _WEIGHTS // max(model.heads * longest, 1))
    if vocabulary:
        tokens = min(tokens, _LOGITS // vocabulary)
    for batch in batches(windows.lengths, tokens):
        ids = batch_ids(windows, batch)
        where = windows.offsets[batch][:, None] + np.arange(ids.shape[1])
        counted = np.zeros(ids.shape, bool)
        counted[: len(batch)] = windows.counted[where]
        yield SampleBatch(batch, torch.from_numpy(ids).to(model.device), torch.from_numpy(counted).to(model.device))
