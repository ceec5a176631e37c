"""Searches token sequences that maximise a unit: greedy coordinate gradient (Zou et al. 2023, 2307.15043), restarted.

Each iteration takes the gradient of the activation by the word embeddings; its product with all embeddings is a
first-order estimate of what each token would do at each position. From the best tokens of each position some candidates
with one token replaced are drawn at random and run; the best one is kept if it is better. The objective is the highest
activation among the tokens that count, as it is of an example of the index.

It is a local search: it finds a sequence with a high activation, not the highest one, and mostly no natural text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from corpus_audit.embeddings.attribution.unit_function import BATCH_TOKENS, UnitFunction

PATIENCE = 12
"""Iterations without a better sequence after which a search ends."""

_BEST = 64
"""Tokens of each position among which candidates are drawn."""


@dataclass(frozen=True)
class PrototypeSettings:
    """How sequences are searched.

    Attributes:
        length: tokens of a sequence, special ones around it not counted.
        restarts: searches; the first begins from the tokens before the peak of the unit's best example.
        iterations: of a search, at most; candidates: sequences that each of them runs.
        seed: of all random choices.
    """

    length: int = 8
    restarts: int = 3
    iterations: int = 40
    candidates: int = 48
    seed: int = 0


@dataclass(frozen=True)
class Prototype:
    """A sequence that a search ended with.

    Attributes:
        restart, start: which search, and what it began from.
        tokens: without special tokens; value: the unit's highest activation on them.
        text: what the tokenizer makes of them; text_value: the activation on that text, tokenized again; None if it
            has no token that counts.
        iterations: that were run.
    """

    restart: int
    start: str
    tokens: list[int]
    text: str
    value: float
    text_value: float | None
    iterations: int


class PrototypeSearch:
    """Searches sequences for one unit."""

    def __init__(self, function: UnitFunction, settings: PrototypeSettings) -> None:
        self._function, self._settings = function, settings
        card, tokenizer = function.model.card, function.model.tokenizer
        special = set(card.special)
        allowed = [i for i in range(tokenizer.get_vocab_size()) if i not in special and tokenizer.id_to_token(i)]
        self._allowed = torch.tensor(allowed, device=function.model.device)
        self._embeddings = function.embed(self._allowed)
        # The first position of a causal model does not count, as in a scan.
        self._first = max(len(card.prefix), 1) if card.causal else len(card.prefix)

    def best_first(self, example: Sequence[int]) -> list[Prototype]:
        """The results of all restarts, highest activation first.

        Args:
            example: tokens up to the peak of the unit's best example, without special ones.
        """
        settings = self._settings
        results = []
        for restart in range(settings.restarts):
            rng = np.random.default_rng([settings.seed, restart])
            tokens = self._allowed[torch.from_numpy(rng.integers(len(self._allowed), size=settings.length))]
            start = "random tokens"
            if restart == 0 and len(example):
                start = "example"
                known = torch.tensor(list(example[-settings.length :]), device=tokens.device)
                tokens[settings.length - len(known) :] = known
            results.append(self._search(restart, start, tokens, rng))
        return sorted(results, key=lambda result: (-result.value, result.restart))

    def _search(self, restart: int, start: str, tokens: torch.Tensor, rng: np.random.Generator) -> Prototype:
        settings = self._settings
        value = float(self._values(tokens[None])[0])
        unimproved = iterations = 0
        while iterations < settings.iterations and unimproved < PATIENCE:
            iterations += 1
            candidates = self._candidates(tokens, rng)
            values = self._values(candidates)
            best = int(values.argmax())
            unimproved = 0 if values[best] > value else unimproved + 1
            if values[best] > value:
                tokens, value = candidates[best], float(values[best])
        ids = tokens.tolist()
        text = self._function.model.tokenizer.decode(ids, skip_special_tokens=False)
        return Prototype(restart, start, ids, text, value, self._of_text(text), iterations)

    def _candidates(self, tokens: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Sequences that differ from ``tokens`` in one position, [candidates, length]."""
        settings, function = self._settings, self._function
        ids = self._surrounded(tokens[None])[0]
        leaf = function.embed(ids)[None].requires_grad_(True)
        with torch.enable_grad():
            highest = function.at(ids, leaf)[0, self._counted(len(tokens))].max()
        (gradient,) = torch.autograd.grad(highest, leaf)
        begin = len(function.model.card.prefix)
        effect = gradient[0, begin : begin + len(tokens)].float() @ self._embeddings.T
        best = effect.topk(min(_BEST, effect.shape[1]), dim=1).indices
        rows = np.arange(settings.candidates)
        positions = torch.from_numpy(rng.integers(len(tokens), size=settings.candidates))
        ranks = torch.from_numpy(rng.integers(best.shape[1], size=settings.candidates))
        candidates = tokens.repeat(settings.candidates, 1)
        candidates[rows, positions] = self._allowed[best[positions, ranks]]
        return candidates

    def _values(self, sequences: torch.Tensor) -> np.ndarray:
        """The highest activation of each sequence [N, length], float64 [N]."""
        ids = self._surrounded(sequences)
        parts = []
        with torch.no_grad():
            for part in ids.split(max(1, BATCH_TOKENS // ids.shape[1])):
                values = self._function.activations(part)[:, self._counted(sequences.shape[1])]
                parts.append(values.max(dim=1).values.double().cpu().numpy())
        return np.concatenate(parts)

    def _counted(self, length: int) -> slice:
        return slice(self._first, len(self._function.model.card.prefix) + length)

    def _surrounded(self, sequences: torch.Tensor) -> torch.Tensor:
        """Sequences [N, length] with the special tokens around them."""
        card = self._function.model.card
        ends = [torch.tensor(s, dtype=torch.long, device=sequences.device) for s in (card.prefix, card.suffix)]
        front, back = (end.repeat(len(sequences), 1) for end in ends)
        return torch.cat([front, sequences, back], dim=1)

    def _of_text(self, text: str) -> float | None:
        ids = self._function.model.tokenizer.encode(text, add_special_tokens=False).ids
        if len(self._function.model.card.prefix) + len(ids) <= self._first:
            return None
        return float(self._values(torch.tensor([ids], device=self._function.model.device))[0])
