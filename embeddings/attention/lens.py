"""The logit lens: what a model would predict at every token of a window if it ended after an earlier block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from corpus_audit.embeddings.attention.head_reader import text_window, window_tokens
from corpus_audit.embeddings.attention.loading import load_attention_model
from corpus_audit.embeddings.attention.readout import Readout, find_readout, stream_after
from corpus_audit.embeddings.attention.trace import trace_model
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.schemas.errors import UsageError


@dataclass(frozen=True, slots=True)
class LensToken:
    """What the lens reads at one token.

    Attributes:
        position: in the window.
        token: its id.
        best: the ids of highest probability, and their probabilities, best first.
        target: the id that is to be predicted: the next token, of an encoder this one; None at the end.
        probability: of the target; None without one.
        rank: of the target, from 0; None without one.
        divergence: Kullback-Leibler divergence of the lens from the model's own prediction, in nats.
    """

    position: int
    token: int
    best: tuple[tuple[int, float], ...]
    target: int | None
    probability: float | None
    rank: int | None
    divergence: float


def logit_lens(model: LanguageModel, tokens: Sequence[int], block: int, k: int = 5) -> list[LensToken]:
    """Read a window's residual stream after a block as the model reads it after the last one.

    Args:
        model: loaded with its output layer.
        tokens: of the window, special ones included.
        block: after which.
        k: predictions of each token.

    Raises:
        UsageError: there is no such block, or the model has no output layer that can be read.
    """
    if not 0 <= block < len(model.blocks):
        raise UsageError(f"there is no block {block}; blocks end at {len(model.blocks) - 1}")
    readout: Readout = find_readout(model, trace_model(model))
    last = len(model.blocks) - 1
    streams: dict[int, list[torch.Tensor]] = {block: [], last: []}
    handles = [stream_after(model, each, keep) for each, keep in streams.items()]
    ids = torch.tensor([list(tokens)], device=model.device)
    try:
        model.run(ids)
    finally:
        for handle in handles:
            handle.remove()
    with torch.inference_mode():
        lens, final = (readout.lens(streams[each][0])[0].float().log_softmax(-1) for each in (block, last))
        divergence = (final.exp() * (final - lens)).sum(-1)
        best = lens.topk(min(k, lens.shape[-1]), dim=-1)
    ahead = 1 if model.card.causal else 0
    rows = []
    for p, token in enumerate(tokens):
        target = int(tokens[p + ahead]) if p + ahead < len(tokens) else None
        value = None if target is None else float(lens[p, target])
        rank = None if target is None else int((lens[p] > lens[p, target]).sum())
        chances = best.values[p].exp().tolist()
        rows.append(
            LensToken(
                p,
                int(token),
                tuple(zip(best.indices[p].tolist(), chances, strict=True)),
                target,
                None if value is None else float(torch.tensor(value).exp()),
                rank,
                max(0.0, float(divergence[p])),
            )
        )
    return rows


def lens_rows(index: Index, name: str | None, block: int, text: str | None, window: int | None) -> list[dict[str, Any]]:
    """The logit lens on a text or on a stored window, as plain values with the text of each token.

    Args:
        index: whose model reads it.
        name: path of the model, if it has moved.
        block: after which.
        text, window: one of both.

    Raises:
        UsageError: as `logit_lens`, or the model cannot be loaded.
    """
    model = load_attention_model(index, name)
    if window is not None:
        tokens = window_tokens(index, window)
    else:
        tokens = text_window(model, text or "").tokens

    def shown(token: int | None) -> str | None:
        return None if token is None else str(model.tokenizer.decode([token], skip_special_tokens=False))

    return [
        {
            "position": row.position,
            "token": shown(row.token),
            "best": [{"token": shown(i), "id": i, "probability": p} for i, p in row.best],
            "target": shown(row.target),
            "probability": row.probability,
            "rank": row.rank,
            "divergence": row.divergence,
        }
        for row in logit_lens(model, tokens, block)
    ]
