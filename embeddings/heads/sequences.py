"""Sequences of random tokens that repeat, on which heads are scored apart from what text they know.

Olsson et al. 2022: a token that begins a text, then 25 random tokens four times. Only repeats, whose token is known
before, count as queries: the first round would dilute every score.
"""

from __future__ import annotations

import numpy as np
import torch

from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.schemas.errors import UsageError

PERIOD, ROUNDS, SAMPLES = 25, 4, 10


def repeated_sequences(
    model: LanguageModel, samples: int = SAMPLES, seed: int = 0, tokens: np.ndarray | None = None
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Sequences of random tokens that repeat.

    The random tokens of a sequence are different ones and no special ones. In front stands the token that begins a
    text, if the model has one (of an encoder, what its tokenizer puts in front; behind, what it puts behind).

    Args:
        model: that reads them.
        samples: how many.
        seed: of the random tokens.
        tokens: ids to draw from, such as those of the corpus; None: all. A token that a model never saw in training has
            a random embedding, and says nothing of what its heads have learnt.

    Returns:
        Ids, int64 [samples, L]; bool [L], the positions of random tokens; and the period: `PERIOD`, or fewer tokens if
        the model has too few or cannot read as many.

    Raises:
        UsageError: the model has a single usable token, or reads fewer than eight.
    """
    card = model.card
    front = (model.bos,) if card.causal and model.bos is not None else card.prefix
    special = {*card.special, *front, *card.suffix}
    known = range(model.tokenizer.get_vocab_size()) if tokens is None else tokens.tolist()
    usable = np.array([i for i in known if i not in special])
    room = (min(model.longest, 2**20) - len(front) - len(card.suffix)) // ROUNDS
    period = min(PERIOD, room, len(usable))
    if period < 2:
        raise UsageError(f"{card.name} has too few tokens, or reads too few, for a sequence that repeats")
    rng = np.random.default_rng(seed)
    rows = [np.tile(rng.choice(usable, period, replace=False), ROUNDS) for _ in range(samples)]
    ids = np.stack([np.concatenate([front, row, card.suffix]) for row in rows]).astype(np.int64)
    random = np.zeros(ids.shape[1], bool)
    random[len(front) : len(front) + period * ROUNDS] = True
    return torch.from_numpy(ids).to(model.device), torch.from_numpy(random).to(model.device), period
