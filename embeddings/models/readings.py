"""Puts hooks on readings: while a model runs, functions are called with activations as [B, L, units].

The shape of every reading is checked against the texts of the pass before anything uses it (`layouts`), and calls of a
module that several blocks share are told apart by their order in the pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from corpus_audit.embeddings.architecture.tracing import first_tensor, given_tensor
from corpus_audit.embeddings.models.blocks import Reading, output_width, projection
from corpus_audit.schemas.errors import AuditError

Use = Callable[[torch.Tensor], None]


class ReadingHooks:
    """Hooks on the readings of one model; they cost nothing in threads that are not `reading`."""

    def __init__(self) -> None:
        self._local = threading.local()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block, forward passes of this thread are read."""
        self._local.is_on, self._local.shape, self._local.counts = True, None, {}
        try:
            yield
        finally:
            self._local.is_on = False

    @property
    def is_on(self) -> bool:
        """Whether the pass that runs in this thread is read."""
        return getattr(self._local, "is_on", False)

    @property
    def shape(self) -> tuple[int, int]:
        """(B, L) of the pass that runs in this thread."""
        shape: tuple[int, int] | None = self._local.shape
        if shape is None:
            raise AuditError("the model was run on neither token ids nor embeddings: its activations have no tokens")
        return shape

    def begin(self, model: nn.Module) -> Any:
        """Note the shape at the begin of every pass of a model; returns the handle that removes the hook."""

        def hook(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            if self.is_on:
                given = [*inputs, named.get("input_ids"), named.get("inputs_embeds")]
                texts = next((each for each in given if isinstance(each, torch.Tensor)), None)
                self._local.shape = None if texts is None else (int(texts.shape[0]), int(texts.shape[1]))
                self._local.counts = {}

        return model.register_forward_pre_hook(hook, with_kwargs=True)

    def put(self, reading: Reading, what: str, use: Use) -> Any:
        """Call ``use`` with every pass's activations, [B, L, width]; returns the handle that removes the hook.

        Args:
            reading: where.
            what: the point, for messages.
            use: must not keep the tensor, which the model may change in place.

        The hook raises `AuditError` if the activations do not have the shape that the reading had in the trace.
        """

        def take(tensor: torch.Tensor | None) -> None:
            if tensor is None:
                raise AuditError(f"{what}: the model handed on no tensor where its activations were read before")
            arranged = reading.layout.arrange(tensor, self.shape, what)
            if arranged.shape[-1] != reading.width or arranged.dim() != 3:
                raise AuditError(
                    f"{what}: the model computes activations of the shape {list(tensor.shape)}, where {reading.width} "
                    "units were expected"
                )
            use(arranged)

        return self._on(reading, take)

    def put_output(self, module: nn.Module, use: Callable[[Any], None]) -> Any:
        """Call ``use`` with everything that a module returns; returns the handle that removes the hook."""

        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if self.is_on:
                use(output)

        return module.register_forward_hook(hook)

    def _on(self, reading: Reading, take: Callable[[torch.Tensor | None], None]) -> Any:
        key = object()

        def is_due() -> bool:
            if not self.is_on:
                return False
            if reading.calls == 1:
                return True
            number = self._local.counts.get(key, 0)
            self._local.counts[key] = number + 1
            return bool(number == reading.call)

        def before(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            if is_due():
                take(given_tensor(inputs, named))

        def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if is_due():
                take(first_tensor(output))

        if reading.is_input:
            return reading.module.register_forward_pre_hook(before, with_kwargs=True)
        return reading.module.register_forward_hook(after)


def head_norms(out: nn.Module, heads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from heads' values [B, L, heads * size] to the norm of what each head writes, float32 [B, L, heads].

    Args:
        out: the attention's output projection.
        heads: how many there are.
    """
    weight = projection(out).float().reshape(heads, -1, output_width(out))
    # ||z W|| = ||z R'|| with W' = Q R: a [size, size] product a head, and no squared condition as with W W'.
    triangular = torch.linalg.qr(weight.transpose(1, 2)).R.transpose(1, 2).contiguous()

    def norms(values: torch.Tensor) -> torch.Tensor:
        split = values.float().unflatten(-1, (heads, -1))
        return torch.einsum("blhd,hde->blhe", split, triangular).norm(dim=-1)

    return norms
