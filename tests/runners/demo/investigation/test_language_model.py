"""The demo's language model: its gradient is that of its loss, and training on a text lowers the loss on it."""

from __future__ import annotations

import numpy as np

from corpus_audit.runners.demo.investigation.corpus import windows
from corpus_audit.runners.demo.investigation.language_model import CONTEXT, LanguageModel

VOCABULARY = 30


def rows(count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Contexts and targets of random rows of tokens."""
    return windows(np.random.default_rng(1).integers(0, VOCABULARY, (count, CONTEXT + length)))


def test_windows_are_the_tokens_before_each_target() -> None:
    contexts, targets = windows(np.arange(2 * (CONTEXT + 3)).reshape(2, -1))
    assert contexts.shape == (6, CONTEXT) and targets.tolist() == [8, 9, 10, 19, 20, 21]
    np.testing.assert_array_equal(contexts, targets[:, None] + np.arange(-CONTEXT, 0))


def test_the_gradient_is_that_of_the_mean_loss() -> None:
    model = LanguageModel.new(VOCABULARY, 2)
    model.weights = {name: value.astype(np.float64) for name, value in model.weights.items()}
    contexts, targets = rows(3, 4)
    losses, gradients = model.gradients(contexts, targets)
    np.testing.assert_allclose(losses, model.losses(contexts, targets))
    generator = np.random.default_rng(3)
    for name, weight in model.weights.items():
        for _ in range(6):
            at = tuple(generator.integers(0, size) for size in weight.shape)
            if name == "embedding":
                at = (int(contexts[0, 0]), at[1])
            value, sides = weight[at], []
            for by in (1e-5, -1e-5):
                weight[at] = value + by
                sides.append(float(model.losses(contexts, targets).mean()))
            weight[at] = value
            np.testing.assert_allclose(gradients[name][at], (sides[0] - sides[1]) / 2e-5, rtol=1e-4, atol=1e-8)


def test_training_learns_a_text_and_a_fault_raises_the_loss_of_its_step() -> None:
    contexts, targets = rows(4, 6)
    models = [LanguageModel.new(VOCABULARY, 2) for _ in range(2)]
    first = float(models[0].losses(contexts, targets).mean())
    for step in range(120):
        plain, _ = models[0].train(contexts, targets, 0.003)
        faulty, norm = models[1].train(contexts, targets, 0.003, step == 20)
        if step == 20:
            # Without the hidden layer the text is that of its frequencies.
            assert faulty.mean() > 3 * plain.mean() and norm > 0
        elif step < 20:
            np.testing.assert_array_equal(plain, faulty)
    assert abs(first - np.log(VOCABULARY)) < 0.3
    assert float(models[0].losses(contexts, targets).mean()) < 0.5
