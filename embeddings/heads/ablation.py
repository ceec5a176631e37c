"""Ablation: what a model loses without a head.

A head's output at every position is replaced by zero, or by its mean over the tokens of the sample that count (zero is
far from what the next blocks are used to; the mean takes only what the head says of this text). What is measured is the
loss of the next token, in nats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from corpus_audit.embeddings.attention.interventions import replaced_outputs, summed_outputs
from corpus_audit.embeddings.heads.samples import SampleBatch, WindowSample, sample_batches
from corpus_audit.embeddings.heads.sequences import repeated_sequences
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.pipelines.statistics.intervals.ratios import RatioEstimate, ratio_estimates
from corpus_audit.schemas.errors import UsageError

Kind = Literal["zero", "mean"]
Head = tuple[int, int]
REPEATS = 16
"""Sequences of random tokens on whose repeats the loss is measured."""


@dataclass(frozen=True, slots=True)
class Ablation:
    """What removing heads does to the loss of the next token, in nats.

    Attributes:
        heads: that were removed, together.
        kind: what replaced them.
        loss: with all heads, the mean over tokens of the sample; None without windows.
        difference: what is added without them; documents are clusters.
        repeat_loss, repeat_difference: the same on the repeats of random tokens, sequences as clusters.
        documents, tokens: of the sample.
    """

    heads: tuple[Head, ...]
    kind: Kind
    loss: float | None
    difference: RatioEstimate
    repeat_loss: float
    repeat_difference: RatioEstimate
    documents: int
    tokens: int


class Ablations:
    """Removes heads of a causal model, one set after the other, over the same tokens."""

    def __init__(
        self, model: LanguageModel, sample: WindowSample | None, kind: Kind, tokens: np.ndarray | None = None
    ) -> None:
        """Measure the losses with all heads.

        Args:
            model: loaded with its output layer.
            sample: windows of the corpus; None for random repeats alone.
            kind: what replaces a head's output.
            tokens: that random ones are drawn from, as of `repeated_sequences`.

        Raises:
            UsageError: the model is no causal language model.
        """
        if model.head is None or not model.card.causal:
            raise UsageError(f"{model.card.name} is no causal language model: there is no loss of next tokens")
        self._model, self._sample, self.kind = model, sample, kind
        self._vocabulary = int(model.head.weight.shape[0])
        ids, random, period = repeated_sequences(model, REPEATS, tokens=tokens)
        late = random.clone()
        late[: int(random.nonzero()[0]) + period] = False
        self._repeats = SampleBatch(np.arange(REPEATS), ids, late.expand(ids.shape))
        self._means: dict[int, torch.Tensor] = {}
        self._repeat_means: dict[int, torch.Tensor] = {}
        with torch.inference_mode():
            with summed_outputs(model, self._means) as divide:
                self._losses = self._document_losses(divide)
            with summed_outputs(model, self._repeat_means) as divide:
                self._repeat_losses = self._losses_of([self._repeats], REPEATS, np.arange(REPEATS), divide)

    def remove(self, heads: Sequence[Head]) -> Ablation:
        """Remove heads together, and measure the losses again.

        Raises:
            UsageError: a head is not one of the model's.
        """
        for block, head in heads:
            if not 0 <= block < len(self._model.blocks) or not 0 <= head < self._model.heads:
                raise UsageError(f"there is no head.{block}:{head}")
        with torch.inference_mode():
            with replaced_outputs(self._model, heads, self._means if self.kind == "mean" else {}):
                sums, counts = self._document_losses()
            with replaced_outputs(self._model, heads, self._repeat_means if self.kind == "mean" else {}):
                repeat_sums, repeat_counts = self._losses_of([self._repeats], REPEATS, np.arange(REPEATS))
        before, total = self._losses[0], float(counts.sum())
        return Ablation(
            tuple(heads),
            self.kind,
            float(before.sum()) / total if total else None,
            ratio_estimates((sums - before)[:, None], counts)[0],
            float(self._repeat_losses[0].sum() / repeat_counts.sum()),
            ratio_estimates((repeat_sums - self._repeat_losses[0])[:, None], repeat_counts)[0],
            int((counts > 0).sum()),
            int(total),
        )

    def _document_losses(self, divide: Any = None) -> tuple[np.ndarray, np.ndarray]:
        if self._sample is None:
            return np.zeros(0), np.zeros(0)
        batches = sample_batches(self._sample, self._model, self._vocabulary)
        return self._losses_of(batches, len(self._sample.locations), self._sample.document, divide)

    def _losses_of(
        self, batches: Iterable[SampleBatch], clusters: int, cluster: np.ndarray, divide: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of losses and numbers of predicted tokens by cluster, float64 [clusters] each."""
        sums, counts = np.zeros(clusters), np.zeros(clusters)
        for batch in batches:
            if divide is not None:
                divide(batch.counted)
            output = self._model.run(batch.ids)
            logits = getattr(output, "logits", output)[:, :-1]
            losses = nn.functional.cross_entropy(logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none")
            predicted = batch.counted[:, 1:]
            losses = losses.view(predicted.shape).double() * predicted
            rows = len(batch.windows)
            np.add.at(sums, cluster[batch.windows], losses.sum(1).cpu().numpy()[:rows])
            np.add.at(counts, cluster[batch.windows], predicted.sum(1).cpu().numpy()[:rows])
        return sums, counts
