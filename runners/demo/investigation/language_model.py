"""A small language model in numpy: embeddings of the last tokens and one hidden layer (Bengio et al. 2003), with Adam.

All of it is float32 matrix products, so that half a minute of a core is enough to learn some English and Python, and
the demo needs neither torch nor a graphics card.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]

CONTEXT = 8
"""Tokens that the next one is predicted from."""

WIDTH, HIDDEN = 24, 96
"""Numbers of an embedding, and units of the hidden layer."""

LARGEST_NORM = 1.0
"""Gradients are scaled down to this norm."""

_DECAY, _SQUARE_DECAY, _SMALL = 0.9, 0.98, 1e-8  # Adam's constants


@dataclass(slots=True)
class LanguageModel:
    """Weights by name, with the state of Adam.

    Attributes:
        weights: ``embedding`` [V, WIDTH], ``hidden`` [CONTEXT * WIDTH, HIDDEN], ``hidden_bias``, ``output``
            [HIDDEN, V], ``output_bias``.
        steps: of training so far.
    """

    weights: dict[str, Array]
    steps: int = 0
    _mean: dict[str, Array] = field(default_factory=dict)
    _square: dict[str, Array] = field(default_factory=dict)

    @classmethod
    def new(cls, vocabulary: int, seed: int) -> LanguageModel:
        """A model with random weights."""
        generator = np.random.default_rng(seed)

        def normal(rows: int, columns: int, scale: float) -> Array:
            return (scale * generator.standard_normal((rows, columns))).astype(np.float32)

        inputs = CONTEXT * WIDTH
        weights = {
            "embedding": normal(vocabulary, WIDTH, 0.5),
            "hidden": normal(inputs, HIDDEN, inputs**-0.5),
            "hidden_bias": np.zeros(HIDDEN, np.float32),
            "output": normal(HIDDEN, vocabulary, 0.02),
            "output_bias": np.zeros(vocabulary, np.float32),
        }
        empty = [{name: np.zeros_like(value) for name, value in weights.items()} for _ in range(2)]
        return cls(weights, 0, *empty)

    def losses(self, contexts: Tokens, targets: Tokens) -> Array:
        """Loss of every target in nats, float32 [N].

        Args:
            contexts: the tokens before each, [N, CONTEXT].
            targets: [N].
        """
        return _softmax(self._logits(self._hidden(contexts)[1]), targets)[0]

    def gradients(self, contexts: Tokens, targets: Tokens, faulty: bool = False) -> tuple[Array, dict[str, Array]]:
        """(loss of every target [N], gradient of their mean by weight).

        Args:
            contexts, targets: as for `losses`.
            faulty: whether the machine reads the hidden layer as zeros, so that only the output's bias is left.
        """
        inputs, hidden = self._hidden(contexts)
        if faulty:
            hidden = np.zeros_like(hidden)
        losses, probability = _softmax(self._logits(hidden), targets)
        # The gradient of the mean loss with respect to the logits.
        probability[np.arange(len(targets)), targets] -= 1
        probability /= len(targets)
        before = (probability @ self.weights["output"].T) * (1 - hidden * hidden)
        return losses, {
            "embedding": self._embedding_gradient(contexts, before @ self.weights["hidden"].T),
            "hidden": inputs.T @ before,
            "hidden_bias": before.sum(axis=0),
            "output": hidden.T @ probability,
            "output_bias": probability.sum(axis=0),
        }

    def train(
        self, contexts: Tokens, targets: Tokens, learning_rate: float, faulty: bool = False
    ) -> tuple[Array, float]:
        """One step of training; (loss of every target before it [N], norm of the gradient before it is scaled).

        Args:
            contexts, targets, faulty: as for `gradients`.
            learning_rate: of Adam.
        """
        losses, gradients = self.gradients(contexts, targets, faulty)
        norm = float(np.sqrt(sum(float(np.vdot(value, value)) for value in gradients.values())))
        self._adam(gradients, learning_rate, min(1.0, LARGEST_NORM / max(norm, 1e-12)))
        return losses, norm

    def _hidden(self, contexts: Tokens) -> tuple[Array, Array]:
        """(inputs [N, CONTEXT * WIDTH], hidden layer [N, HIDDEN])."""
        inputs = self.weights["embedding"][contexts].reshape(len(contexts), -1)
        return inputs, np.tanh(inputs @ self.weights["hidden"] + self.weights["hidden_bias"])

    def _logits(self, hidden: Array) -> Array:
        logits: Array = hidden @ self.weights["output"] + self.weights["output_bias"]
        return logits

    def _embedding_gradient(self, contexts: Tokens, of_inputs: Array) -> Array:
        """Sums the gradients of every token's rows; a sparse product is many times faster than `numpy.add.at`."""
        from scipy.sparse import csr_array

        count = contexts.size
        entries: Any = (np.ones(count, np.float32), contexts.reshape(-1), np.arange(count + 1))
        inputs = csr_array(entries, shape=(count, len(self.weights["embedding"])))
        gradient: Array = inputs.T @ of_inputs.reshape(count, WIDTH)
        return gradient

    def _adam(self, gradients: dict[str, Array], learning_rate: float, scale: float) -> None:
        self.steps += 1
        rate = learning_rate * (1 - _SQUARE_DECAY**self.steps) ** 0.5 / (1 - _DECAY**self.steps)
        for name, gradient in gradients.items():
            mean, square = self._mean[name], self._square[name]
            gradient = gradient * np.float32(scale)
            mean += np.float32(1 - _DECAY) * (gradient - mean)
            square += np.float32(1 - _SQUARE_DECAY) * (gradient * gradient - square)
            self.weights[name] -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(_SMALL))


def _softmax(logits: Array, targets: Tokens) -> tuple[Array, Array]:
    """(loss of every target [N], probabilities [N, V], computed in place of the logits)."""
    logits -= logits.max(axis=1, keepdims=True)
    at_target = logits[np.arange(len(targets)), targets]
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    logits /= total
    losses: Array = np.log(total[:, 0]) - at_target
    return losses, logits
