"""Scores of every head on random tokens that repeat: what a head does whatever the text.

previous    attention to the token before
duplicate   of a repeat, attention to earlier copies of the token
prefix      prefix matching: of a repeat, attention to what followed the earlier copies (all of them)
chance      what prefix matching would be if the head attended evenly
copying     Olsson et al. 2022: 4 own / (own + all) - 1, where a head that attends to one of the random tokens raises
            its own logit by `own` above their mean, and all raised logits add up to `all`
eigenvalues the OV eigenvalue score of `circuits.py`
first       attention to the first position
entropy     of the attention weights, in nats
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from corpus_audit.embeddings.attention.matrices import HeadMatrices
from corpus_audit.embeddings.attention.reader import AttentionReader, BlockAttention
from corpus_audit.embeddings.attention.readout import Readout
from corpus_audit.embeddings.attention.trace import writes_to_stream
from corpus_audit.embeddings.heads.circuits import ov_eigenvalues
from corpus_audit.embeddings.heads.measures import measured, targets_of
from corpus_audit.embeddings.heads.results import INDUCTION
from corpus_audit.embeddings.heads.sequences import repeated_sequences

_NAMES = {
    "previous": "previous",
    "duplicate": "duplicate",
    "induction": "prefix",
    "first": "first",
    "entropy": "entropy",
}


@dataclass(frozen=True, slots=True)
class HeadScores:
    """Scores of one head; None where a model does not offer one."""

    block: int
    head: int
    previous: float
    duplicate: float
    prefix: float
    chance: float
    copying: float | None
    eigenvalues: float | None
    first: float
    entropy: float

    @property
    def unit(self) -> str:
        """Its address."""
        return f"head.{self.block}:{self.head}"

    @property
    def is_induction(self) -> bool:
        """Whether it counts as an induction head."""
        return self.prefix >= INDUCTION


def score_heads(
    reader: AttentionReader,
    matrices: dict[int, HeadMatrices],
    readout: Readout | None,
    tokens: np.ndarray | None = None,
) -> list[HeadScores]:
    """Scores of every head, in the order of blocks and heads.

    Args:
        reader: of the model.
        matrices: its heads' weights.
        readout: for copying scores; None if the model offers no direct logits.
        tokens: that random ones are drawn from, as of `repeated_sequences`.
    """
    model = reader.model
    ids, random, period = repeated_sequences(model, tokens=tokens)
    targets = targets_of(ids, random.expand(ids.shape))
    begin = int(random.nonzero()[0])
    once = ids[:, begin : begin + period]
    writing = {b for b in reader.heads if readout is not None and writes_to_stream(model, reader.trace, b)}
    means: dict[int, dict[str, torch.Tensor]] = {}
    copying: dict[int, torch.Tensor] = {}

    def sink(attention: BlockAttention) -> None:
        means[attention.block] = {
            _NAMES[name]: (values * targets.valid[name][:, None]).sum((0, 2)) / targets.valid[name].sum().clamp_min(1)
            for name, values in measured(attention.weights, targets).items()
            if name in _NAMES
        }
        if attention.block in writing:
            assert readout is not None
            values = attention.value[:, :, begin : begin + period].float()
            copying[attention.block] = copying_scores(values, reader.output_weights(attention.block), once, readout)

    with reader.reading():
        reader.run(ids, sink)
    valid = targets.valid["induction"]
    chance = float((targets.uniform("induction") * valid).sum() / valid.sum().clamp_min(1))
    usable = {b: m for b, m in matrices.items() if b in writing}
    eigenvalues = ov_eigenvalues(model, usable, readout) if readout is not None else {}
    return [
        HeadScores(
            block,
            head,
            chance=chance,
            copying=float(copying[block][head]) if block in copying else None,
            eigenvalues=eigenvalues.get((block, head)),
            **{name: float(values[head]) for name, values in means[block].items()},
        )
        for block in sorted(means)
        for head in range(reader.heads[block])
    ]


def copying_scores(values: torch.Tensor, output: torch.Tensor, tokens: torch.Tensor, readout: Readout) -> torch.Tensor:
    """The copying score of Olsson et al. 2022 of every head, float [H]; the mean over samples.

    Args:
        values: of the random tokens, [B, H, n, v].
        output: W_O, [H, v, d].
        tokens: the random tokens, int64 [B, n].
        readout: from the stream to logits; the scale of its norm is left out.
    """
    scores = []
    for value, ids in zip(values, tokens, strict=True):
        written = value @ output
        if readout.norm is not None:
            written = readout.norm.unscaled(written)
        logits = written @ readout.unembedding[:, ids]
        raised = torch.relu(logits - logits.mean(-1, keepdim=True))
        own, total = raised.diagonal(dim1=-2, dim2=-1).sum(-1), raised.sum((-1, -2))
        scores.append(4 * own / (own + total).clamp_min(torch.finfo(own.dtype).tiny) - 1)
    return torch.stack(scores).mean(0)
