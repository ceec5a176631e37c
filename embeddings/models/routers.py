"""Routers of mixtures of experts: which of their outputs are the logits, and which the experts they chose.

The routers of `transformers` 5 return (logits, weights, indices), but not all do: Llama 4 returns scores before the
logits, and older ones only logits. What a router chooses need not be the largest logits either: DeepSeek-V3 adds a
correction to the scores and restricts the groups. So nothing is believed: one trial pass shows, for every router,
where the product of its input and its weights comes out, and where its choice does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Router:
    """How a router is read.

    Attributes:
        module: what is hooked.
        experts: how many there are; chosen: how many of them take a token.
        logits: which output the logits are, those before softmax or sigmoid.
        indices: which output the chosen experts are; None where they are those of the largest logits.
    """

    module: nn.Module
    experts: int
    chosen: int
    logits: int
    indices: int | None

    def read(self, output: Any, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits, float32 [B, L, experts], and whether each expert was chosen, bool of that shape.

        Args:
            output: what the router returned.
            shape: (B, L).
        """
        outputs = _outputs(output)
        logits = outputs[self.logits].float().reshape(*shape, self.experts)
        taken = logits.topk(self.chosen, -1).indices if self.indices is None else outputs[self.indices]
        mask = torch.zeros_like(logits, dtype=torch.bool)
        return logits, mask.scatter_(-1, taken.reshape(*shape, self.chosen).long(), True)


def detect_router(module: nn.Module, chosen: int, given: torch.Tensor, output: Any) -> Router | None:
    """Work out how to read a router from its input and output in a trial pass.

    Args:
        module: the router.
        chosen: experts a token, where the router does not return them; 0 if that is unknown.
        given: its input [.., d]; output: what it returned.

    Returns:
        None where its logits, or which experts are chosen, cannot be told: it then has no units.
    """
    linear = _projection(module)
    if linear is None or given.shape[-1] != linear.weight.shape[1]:
        return None
    tokens, experts = given.numel() // given.shape[-1], int(linear.weight.shape[0])
    weight, bias = linear.weight.float(), getattr(linear, "bias", None)
    expected = functional.linear(given.float(), weight, bias.float() if isinstance(bias, torch.Tensor) else None)
    expected = expected.reshape(tokens, experts)
    logits, indices = None, None
    for at, one in enumerate(_outputs(output)):
        if not isinstance(one, torch.Tensor) or one.dim() < 2 or one.numel() // one.shape[-1] != tokens:
            continue
        if not one.is_floating_point():
            indices = at if one.dtype in (torch.int32, torch.int64) and one.shape[-1] <= experts else indices
        elif logits is None and one.shape[-1] == experts:
            same = torch.allclose(one.float().reshape(tokens, experts), expected, rtol=1e-4, atol=1e-5)
            logits = at if same else None
    if indices is not None:
        chosen = int(_outputs(output)[indices].shape[-1])
    if logits is None or not 0 < chosen <= experts:
        return None
    return Router(module, experts, chosen, logits, indices)


def _outputs(output: Any) -> tuple[Any, ...]:
    return tuple(output) if isinstance(output, tuple | list) else (output,)


def _projection(module: nn.Module) -> nn.Module | None:
    """What holds the weights [experts, d]: the router, or the only linear layer in it."""
    own = getattr(module, "weight", None)
    if isinstance(own, torch.Tensor):
        return module if own.dim() == 2 else None
    inside = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return inside[0] if len(inside) == 1 else None
