"""The activation functions that a computation passed, found in autograd's graph.

A backward rule for rectifiers has to reach every rectifier. Hooks on modules of a class (`nn.ReLU`) miss `nn.ReLU6`,
`F.relu`, `x.clamp(min=0)` and the further calls of a module that is used twice; captum 0.9 then returns the plain
gradient without a word. The graph has one node a call, whatever wrote the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch

from corpus_audit.schemas.errors import UsageError

# fmt: off
_LINEAR = frozenset({
    "Convolution", "MkldnnConvolution", "SlowConvDilated2D", "ThnnConv2D", "ConvDepthwise2D", "Linear", "Mean", "Sum",
    "AvgPool2D", "AdaptiveAvgPool2D", "View", "UnsafeView", "ReshapeAlias", "T", "Transpose", "Permute", "Movedim",
    "Squeeze", "Unsqueeze", "Select", "Slice", "Split", "SplitWithSizes", "Unbind", "Index", "IndexSelect", "Gather",
    "Expand", "Repeat", "Clone", "ToCopy", "Cat", "Stack", "Flip", "ConstantPadNd", "ReflectionPad2D",
    "ReplicationPad2D", "Alias", "AsStrided", "Add", "Sub", "Rsub", "Neg", "Mul", "Div", "Addmm", "Mm", "Bmm", "Mv",
    "Dot", "PixelShuffle", "UpsampleBilinear2D", "UpsampleNearest2D", "CopySlices",
})
# fmt: on
"""Nodes that are linear in what leads to the input, if only one of their arguments does (or they add)."""
_ADDING = frozenset(["Add", "Sub", "Rsub", "Cat", "Stack", "CopySlices"])
_PER_CHANNEL = frozenset(["NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "BatchNormImplIndex"])
_SWITCHES = frozenset(["MaxPool2DWithIndices", "AdaptiveMaxPool2D", "MkldnnMaxPool2D"])
_KNOWN_CURVES = {
    "Silu": "SiLU",
    "Gelu": "GELU",
    "Hardswish": "hard swish",
    "Sigmoid": "a sigmoid",
    "Hardsigmoid": "a hard sigmoid",
    "Tanh": "tanh",
    "Softmax": "a softmax",
    "LogSoftmax": "a log-softmax",
    "LeakyRelu": "leaky ReLU",
    "Elu": "ELU",
    "NativeLayerNorm": "a layer norm",
    "NativeGroupNorm": "a group norm",
}


def rectifiers(output: torch.Tensor, leaf: torch.Tensor, what: str) -> list[Any]:
    """The nodes of all rectifiers between an input and a number that was computed from it.

    Args:
        output: the number.
        leaf: the input; it requires a gradient.
        what: the method that needs them, for messages.

    Returns:
        Nodes of ReLU, ReLU6 and clamps from 0 on, each call once.

    Raises:
        UsageError: between the two there is something that is neither a rectifier, nor max pooling, nor linear: a
            backward rule for rectifiers says nothing of it.
    """
    between = _between(output.grad_fn, leaf)
    if not between:
        raise UsageError(f"{what}: the activation does not depend on the image")
    nodes = []
    for node in between:
        kind = _kind(node)
        if _is_rectifier(node, kind):
            nodes.append(node)
        elif not (kind in _SWITCHES or kind == "AccumulateGrad" or _is_linear(node, kind, between)):
            raise UsageError(f"{what} {_refusal(node, kind)}")
    return nodes


def _refusal(node: Any, kind: str) -> str:
    name = _KNOWN_CURVES.get(kind)
    if name is None and kind in _PER_CHANNEL:
        return "needs a model in evaluation mode: its batch norm is in training mode"
    if name is None and kind in _LINEAR:
        name = "a product of two activations"
    return (
        f"is defined for rectifiers (ReLU, ReLU6), max pooling and linear layers; the model also computes "
        f"{name or 'something else'} ({node.name()}): use integrated_gradients or occlusion"
    )


def _between(root: Any, leaf: torch.Tensor) -> dict[Any, None]:
    """Nodes from which the leaf is reached, the leaf's own among them, in the order in which they were met."""
    parents: dict[Any, list[Any]] = {}
    order: dict[Any, None] = {}
    ends, todo = [], [root] if root is not None else []
    while todo:
        node = todo.pop()
        if node in order:
            continue
        order[node] = None
        if getattr(node, "variable", None) is leaf:
            ends.append(node)
        for after, _ in node.next_functions:
            if after is not None:
                parents.setdefault(after, []).append(node)
                todo.append(after)
    reached: set[Any] = set()
    while ends:
        node = ends.pop()
        if node not in reached:
            reached.add(node)
            ends += parents.get(node, ())
    return {node: None for node in order if node in reached}


def _kind(node: Any) -> str:
    """``Relu`` of ``ReluBackward0``; the whole name of what is no operation of torch."""
    match = re.fullmatch(r"(?:Fw|Safe)?(\w+?)Backward\d*", node.name())
    return match[1] if match else re.sub(r"^torch::autograd::", "", str(node.name()))


def _is_rectifier(node: Any, kind: str) -> bool:
    match kind:
        case "Relu":
            return True
        case "Hardtanh":
            return bool(node._saved_min_val == 0)
        case "Clamp" | "ClampMin":
            return bool(node._saved_min == 0)
        case "Threshold":
            return bool(node._saved_threshold == 0)
    return False


def _is_linear(node: Any, kind: str, between: Iterable[Any]) -> bool:
    if kind in _PER_CHANNEL:
        return not node._saved_training
    leading = [after in between for after, _ in node.next_functions]
    if kind == "Div" and len(leading) > 1 and leading[1]:
        return False
    return kind in _LINEAR and (kind in _ADDING or kind == "Addmm" or sum(leading) <= 1)
