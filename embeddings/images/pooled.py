"""Pooled vectors of images: what the last layer of an image model reads, one vector an image.

Of a classifier that is the input of the linear layer (or of the convolution of one position) that computes the logits,
found in a traced pass: of most convolutional networks the mean of the last map over its positions, of vision
transformers the token that the classifier reads. A model without such a layer is read at its output: a vector as it is,
maps and tokens as their mean over positions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from corpus_audit.embeddings.images.trace import Key, Operation, Trace

_DATA = {"addmm": 1, "mm": 0, "linear": 0, "convolution": 0}
"""Operations of a last layer, and which of their tensors is what they read."""

_SAME_VALUES = frozenset(
    (
        *("view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "clone", "alias", "detach", "flatten"),
        *("_to_copy", "dropout", "native_dropout"),
    )
)
"""Operations that pass on the numbers of their first input in another shape; dropout does nothing in evaluation."""


@dataclass(frozen=True, slots=True)
class PooledPoint:
    """Where the vector of an image is read.

    Attributes:
        key: the result that it is computed from, in every pass.
        shape: of that result, without the axis of images.
        width: dimensions of the vector.
        read: what it is, such as ``the input of fc``.
    """

    key: Key
    shape: tuple[int, ...]
    width: int
    read: str

    def vectors(self, values: torch.Tensor) -> torch.Tensor:
        """The vectors of images, float32 [B, width]; ``values``: the result, [B, *shape]."""
        values = values.float()
        if values.shape[1:].numel() == self.width:
            return values.reshape(len(values), self.width)
        return values.mean((2, 3)) if values.dim() == 4 else values.mean(1)


def find_pooled(traced: Trace) -> PooledPoint | str:
    """Where a model's vectors are read, or why it has none, as a clause.

    Args:
        traced: a pass over at least two images.
    """
    if traced.output is None:
        return "the model's output is not the result of its pass"
    output = traced.operations[traced.output]
    layer = _last_layer(traced, output)
    if layer is None:
        return _of_output(traced, output)
    source = layer.inputs[_DATA[layer.name]]
    if source is None:
        return f"{layer.name} in {layer.module or 'the model'} reads no part of the image"
    features = _with_key(traced, traced.operations[source])
    if features is None or features.key is None:
        return "what the last layer reads is not returned by a function that a pass can be watched for"
    shape = features.shape[1:]
    return PooledPoint(features.key, shape, math.prod(shape), f"the input of {layer.module or layer.name}")


def _last_layer(traced: Trace, output: Operation) -> Operation | None:
    """The layer that computes the output of [images, classes]; None if the output is not that of one."""
    if len(output.shape) != 2:
        return None
    current = output
    while current.name in _SAME_VALUES | {"_softmax", "_log_softmax", "softmax", "sigmoid"}:
        if not current.inputs or current.inputs[0] is None:
            return None
        current = traced.operations[current.inputs[0]]
    if current.name not in _DATA:
        return None
    single = math.prod(current.shapes[_DATA[current.name]][2:]) == 1
    return current if single else None


def _of_output(traced: Trace, output: Operation) -> PooledPoint | str:
    """The vector that a model without a last layer returns: its output, or the mean of that over positions."""
    if len(output.shape) not in (2, 3, 4):
        return f"the model returns {len(output.shape)} dimensions, which are neither a vector, tokens nor maps"
    shape = output.shape[1:]
    width = {2: shape[0], 3: shape[-1], 4: shape[0]}[len(output.shape)]
    if output.key is None:
        return "the output is not returned by a function that a pass can be watched for"
    read = "the output" if len(output.shape) == 2 else "the mean of the output over positions"
    return PooledPoint(output.key, shape, width, read)


def _with_key(traced: Trace, operation: Operation) -> Operation | None:
    """The operation, or one before it of the same numbers, whose result a pass can be watched for."""
    while operation.key is None:
        if operation.name not in _SAME_VALUES or not operation.inputs or operation.inputs[0] is None:
            return None
        operation = traced.operations[operation.inputs[0]]
    return operation
