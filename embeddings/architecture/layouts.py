"""Layouts of activations: how a tensor that a module reads or returns is arranged by text and token.

A scan needs [B, L, units]. Modules also see [B * L, units] (the MLPs of OPT and most mixtures of experts) or
[L, B, units] (XLNet); a reshape of the latter would mix texts without an error. So the layout of each reading is
established once, by values: the activations of a text that runs alone must be found again among those of a batch.
"""

from __future__ import annotations

from enum import StrEnum

import torch

from corpus_audit.schemas.errors import AuditError

_SAME = 1e-3
"""Of the largest number, by how much activations of a text alone and in a batch may differ."""


class Layout(StrEnum):
    """Order of the dimensions of a tensor of activations."""

    BATCH_FIRST = "[B, L, units]"
    FLAT = "[B * L, units]"
    LENGTH_FIRST = "[L, B, units]"
    PADDED = "[B, L + padding, units]"

    def arrange(self, values: torch.Tensor, shape: tuple[int, ...], what: str) -> torch.Tensor:
        """The activations as [B, L, units].

        Args:
            values: as the model computes them.
            shape: (B, L).
            what: where they are read, for the message.

        Raises:
            AuditError: they do not have the shape of this layout.
        """
        arranged = self._arranged(values, shape)
        if arranged is None:
            raise AuditError(
                f"{what}: the model computes activations of the shape {list(values.shape)} for {shape[0]} texts of "
                f"{shape[1]} tokens, where {self} was expected: they cannot be assigned to tokens. Leave these units "
                "out (embedding.units), and please report the architecture"
            )
        return arranged

    def _arranged(self, values: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor | None:
        rows, length = shape
        dimensions = tuple(values.shape)
        match self:
            case Layout.FLAT if len(dimensions) == 2 and dimensions[0] == rows * length:
                return values.reshape(rows, length, -1)
            case Layout.BATCH_FIRST if dimensions[:-1] == (rows, length):
                return values
            case Layout.LENGTH_FIRST if dimensions[:-1] == (length, rows):
                return values.transpose(0, 1)
            case Layout.PADDED if len(dimensions) == 3 and dimensions[0] == rows and dimensions[1] >= length:
                return values[:, :length]
        return None

    @classmethod
    def detect(
        cls, batch: torch.Tensor, alone: torch.Tensor, shape: tuple[int, int], row: int, padded: int = 0
    ) -> Layout | None:
        """The layout under which a text's activations in a batch are those of the text alone.

        Args:
            batch: a reading of B texts of L tokens.
            alone: the same reading of one of them.
            shape: (B, L); both above 1, and different.
            row: which text ran alone.
            padded: tokens to which the model is known to pad texts at their ends, as Longformer does; 0 if it does not.

        Returns:
            None if there is none: the activations cannot be assigned to tokens.
        """
        for layout in cls:
            if layout is Layout.PADDED and (not padded or batch.dim() != 3 or batch.shape[1] != padded):
                continue
            whole, single = layout._arranged(batch, shape), layout._arranged(alone, (1, shape[1]))
            if whole is None or single is None or whole.shape[2:] != single.shape[2:]:
                continue
            if same(whole[row], single[0]):
                return layout
        return None


def same(one: torch.Tensor, other: torch.Tensor, tolerance: float = _SAME) -> bool:
    """Whether two tensors of one shape are equal but for rounding: a share of the second's largest number."""
    if one.shape != other.shape or not one.is_floating_point() or not other.is_floating_point():
        return False
    difference = (one.float() - other.float()).abs().max() if one.numel() else torch.zeros(())
    return bool(difference <= tolerance * other.float().abs().max())
