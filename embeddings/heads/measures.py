"""What attention weights say of heads: measures of every query position, and their sums.

Masses are sums of attention weights from a query p to earlier keys j < p, where t_p and t_j are their tokens (Olsson et
al. 2022, "In-context Learning and Induction Heads"; duplicate tokens: Wang et al. 2022):

    previous    the key p - 1
    duplicate   keys with the token of the query, t_j = t_p; of queries that have any
    induction   keys that follow one, t_{j-1} = t_p: prefix matching; of queries that have any
    completing  of those, keys whose token is the one that comes next, t_j = t_{p+1}: where the head would be right
    first       the key 0 (attention sinks)
    entropy     of the weights, in nats
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

MEASURES = ("previous", "duplicate", "induction", "completing", "first", "entropy")

MASSES = MEASURES[:5]
"""Measures that lie within 0 and 1."""


@dataclass(frozen=True)
class Targets:
    """Keys that measures look for, of a batch of ids.

    Attributes:
        keys: by measure, bool [B, L, L].
        valid: by measure, bool [B, L], queries that count.
    """

    keys: Mapping[str, torch.Tensor]
    valid: Mapping[str, torch.Tensor]

    def uniform(self, measure: str) -> torch.Tensor:
        """Mass of a measure for a head that attends evenly to everything up to the query, float [B, L]."""
        keys = self.keys[measure]
        return keys.sum(-1) / torch.arange(1, keys.shape[1] + 1, device=keys.device)


def targets_of(ids: torch.Tensor, counted: torch.Tensor) -> Targets:
    """The keys that measures look for.

    Args:
        ids: int64 [B, L].
        counted: bool [B, L], positions that count as queries, and whose tokens count as copies (no special ones).
    """
    length = ids.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril(-1)
    same = (ids[:, :, None] == ids[:, None, :]) & earlier & counted[:, None, :]
    after = torch.zeros_like(same)
    after[:, :, 1:] = same[:, :, :-1] & earlier[:, 1:]
    completing = torch.zeros_like(same)
    completing[:, :-1] = after[:, :-1] & (ids[:, None, :] == ids[:, 1:, None])
    previous = torch.zeros_like(earlier)
    previous[1:, :-1] = torch.eye(max(length - 1, 0), dtype=torch.bool, device=ids.device)
    first = torch.zeros_like(earlier)
    first[1:, 0] = True
    keys = {
        "previous": previous.expand_as(same),
        "duplicate": same,
        "induction": after,
        "completing": completing,
        "first": first.expand_as(same),
    }
    valid = {name: mask.any(-1) & counted for name, mask in keys.items()}
    return Targets(keys, {**valid, "entropy": counted})


def measured(weights: torch.Tensor, targets: Targets) -> dict[str, torch.Tensor]:
    """Every measure of every head and query, float32 [B, H, L]; of queries that do not count, any number.

    Args:
        weights: attention weights of one block, [B, H, L, L].
        targets: of the same batch.
    """
    values = {
        name: torch.einsum("bhpj,bpj->bhp", weights, targets.keys[name].to(weights.dtype))
        for name in ("duplicate", "induction", "completing")
    }
    before = weights.diagonal(offset=-1, dim1=-2, dim2=-1)
    values["previous"] = torch.nn.functional.pad(before, (1, 0))
    values["first"] = weights[..., 0]
    values["entropy"] = torch.special.entr(weights).sum(-1)
    return values
