"""Trains a small image classifier on the spot, in a few seconds: an example to look into, and no useful model."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

SIDE = 64
"""Height and width of its input."""

_BATCH = 32


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """What training came to.

    Attributes:
        steps: of training.
        seconds: processor time that it took.
        correct: share of images that are classified correctly, by name of the set of images.
    """

    steps: int
    seconds: float
    correct: dict[str, float]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: small networks run no faster on several, and sums do not depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def train_classifier(
    images: Sequence[np.ndarray],
    classes: Sequence[int],
    names: Sequence[str],
    folder: Path,
    tested: Mapping[str, tuple[Sequence[np.ndarray], Sequence[int]]],
    epochs: int = 8,
) -> TrainedClassifier:
    """Train a ResNet of two stages with one block each, and save it as `transformers` does.

    Args:
        images: uint8 [height, width, 3], RGB, of any sizes; they are resized as the saved preprocessing says.
        classes: of the images, indices of ``names``.
        names: of the classes.
        folder: where model and preprocessing are written.
        tested: further images and their classes, by name, on which it is tested.
        epochs: passes over the images.

    The random numbers are the same in every call, and one thread is used.
    """
    from transformers import ResNetConfig, ResNetForImageClassification
    from transformers.utils import logging

    from corpus_audit.embeddings.images.preprocessing import read_preprocessor

    logging.disable_progress_bar()
    processor = {
        "image_processor_type": "ViTImageProcessor", "size": {"height": SIDE, "width": SIDE}, "resample": 2,
        "image_mean": [0.5] * 3, "image_std": [0.25] * 3,
    }  # fmt: skip
    preprocess = read_preprocessor(processor)
    start = time.process_time()
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ResNetConfig(
            embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic",
            id2label=dict(enumerate(names)), label2id={name: number for number, name in enumerate(names)},
        )  # fmt: skip
        model = ResNetForImageClassification(config).train()
        inputs, targets = torch.stack([preprocess(each) for each in images]), torch.tensor(list(classes))
        steps = _train(model, inputs, targets, epochs)
        model.eval()
        correct = {}
        for name, (others, labels) in tested.items():
            batch = torch.stack([preprocess(each) for each in others])
            with torch.inference_mode():
                guesses = model(pixel_values=batch).logits.argmax(dim=1)
            correct[name] = float((guesses == torch.tensor(list(labels))).float().mean())
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=1), encoding="utf-8")
    return TrainedClassifier(steps, time.process_time() - start, correct)


def _train(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor, epochs: int) -> int:
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    steps = 0
    for _ in range(epochs):
        # The last rows are dropped where they are too few: batch norm needs a batch.
        for rows in torch.randperm(len(inputs)).split(_BATCH):
            if len(rows) < _BATCH // 2:
                continue
            optimiser.zero_grad()
            functional.cross_entropy(model(pixel_values=inputs[rows]).logits, targets[rows]).backward()
            optimiser.step()
            steps += 1
    return steps
