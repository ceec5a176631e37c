"""Routers of mixtures of experts: which of their outputs are the logits, and which the selected experts.

The routers of `transformers` 5 return (logits, weights, indices), but not all do: Llama 4 returns scores before the
logits, and older ones only logits. The selected experts need not have the largest logits either: DeepSeek-V3 adds a
correction to the scores and restricts the groups. So one trial pass shows, for every router, which output equals the
product of its input and its weights, and which output holds indices of experts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from corpus_audit.embeddings.architecture.layouts import same
from corpus_audit.embeddings.architecture.tracing import ALONE, LENGTH, ROWS
from corpus_audit.schemas.errors import AuditError


@dataclass(frozen=True, slots=True)
class Router:
    """A router, and which of its outputs are which.

    Attributes:
        module: the router, to be hooked.
        experts: number of experts; experts_per_token: how many of them each token is sent to.
        logits: position of the logits (before softmax or sigmoid) among the outputs.
        indices: position of the selected experts among the outputs; None where they are those of the largest logits.
    """

    module: nn.Module
    experts: int
    experts_per_token: int
    logits: int
    indices: int | None

    def read(self, output: Any, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits, float32 [B, L, experts], and whether each expert was selected, bool of that shape.

        Args:
            output: what the router returned.
            shape: (B, L).

        Raises:
            AuditError: they are not those of B * L tokens.
        """
        outputs = _outputs(output)
        given = list(outputs[self.logits].shape)
        if outputs[self.logits].numel() != shape[0] * shape[1] * self.experts:
            raise AuditError(f"a router of {self.experts} experts returned logits {given} for {list(shape)} tokens")
        logits = outputs[self.logits].float().reshape(*shape, self.experts)
        selected = logits.topk(self.experts_per_token, -1).indices if self.indices is None else outputs[self.indices]
        mask = torch.zeros_like(logits, dtype=torch.bool)
        return logits, mask.scatter_(-1, selected.reshape(*shape, self.experts_per_token).long(), True)

    def is_batch_first(self, batch: Any, alone: Any) -> bool:
        """Whether `read` assigns logits and choices to the right tokens, by two outputs of a trace."""
        try:
            logits, selected = self.read(batch, (ROWS, LENGTH))
            single, single_selected = self.read(alone, (1, LENGTH))
        except (AuditError, RuntimeError, IndexError):
            return False
        return same(logits[ALONE], single[0]) and bool(torch.equal(selected[ALONE], single_selected[0]))


def detect_router(module: nn.Module, experts_per_token: int, inputs: torch.Tensor, output: Any) -> Router | None:
    """Work out how to read a router from its input and output in a trial pass.

    Args:
        module: the router.
        experts_per_token: experts a token, where the router does not return them; 0 if that is unknown.
        inputs: its input [.., d]; output: what it returned.

    Returns:
        None where the logits or the selected experts cannot be identified: the router then has no units.
    """
    linear = _projection(module)
    if linear is None or inputs.shape[-1] != linear.weight.shape[1]:
        return None
    tokens, experts = inputs.numel() // inputs.shape[-1], int(linear.weight.shape[0])
    weight, bias = linear.weight.float(), getattr(linear, "bias", None)
    expected = functional.linear(inputs.float(), weight, bias.float() if isinstance(bias, torch.Tensor) else None)
    expected = expected.reshape(tokens, experts)
    logits, indices = None, None
    for position, tensor in enumerate(_outputs(output)):
        if not isinstance(tensor, torch.Tensor) or tensor.dim() < 2 or tensor.numel() // tensor.shape[-1] != tokens:
            continue
        if not tensor.is_floating_point():
            indices = (
                position if tensor.dtype in (torch.int32, torch.int64) and tensor.shape[-1] <= experts else indices
            )
        elif logits is None and tensor.shape[-1] == experts:
            same = torch.allclose(tensor.float().reshape(tokens, experts), expected, rtol=1e-4, atol=1e-5)
            logits = position if same else None
    if indices is not None:
        experts_per_token = int(_outputs(output)[indices].shape[-1])
    if logits is None or not 0 < experts_per_token <= experts:
        return None
    return Router(module, experts, experts_per_token, logits, indices)


def _outputs(output: Any) -> tuple[Any, ...]:
    return tuple(output) if isinstance(output, tuple | list) else (output,)


def _projection(module: nn.Module) -> nn.Module | None:
    """The module with the weights [experts, d]: the router, or the only linear layer in it."""
    own = getattr(module, "weight", None)
    if isinstance(own, torch.Tensor):
        return module if own.dim() == 2 else None
    inside = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return inside[0] if len(inside) == 1 else None
