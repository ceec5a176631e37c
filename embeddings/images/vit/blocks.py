"""Finds the blocks of a vision transformer in the operations of a traced pass.

The residual stream is a chain of additions of [images, tokens, width]: each adds a branch to the result of the one
before. A branch ends in the linear map that writes to the stream, perhaps times a learned factor for each dimension
(layer scale). It is an attention if a softmax over tokens lies in it, and else an MLP, whose neurons are what its last
linear map reads. No class names are looked at: models of `transformers`, of timm and others count alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

SAME = frozenset({"dropout", "native_dropout", "clone", "alias", "detach", "contiguous", "_to_copy", "lift_fresh"})
"""Operations of a pass in evaluation mode that change no value."""

_ATTENTION = re.compile(r"\.(scaled_dot_product_attention|softmax)$")
_FUSED = re.compile(r"scaled_dot_product|softmax|multi_head_attention")
_NUMBERED = re.compile(r"(?:.*_)?\d+", re.ASCII)


class CallKey(Protocol):
    """How a value is read in another pass."""

    @property
    def function(self) -> str:
        """Name of the public function that returns it."""


class TracedOperation(Protocol):
    """What is read of an operation of a traced pass; `images.trace.Operation` is one."""

    @property
    def index(self) -> int: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def inputs(self) -> tuple[int | None, ...]: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]: ...  # noqa: D102
    @property
    def module(self) -> str: ...  # noqa: D102
    @property
    def parameters(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def key(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Branch:
    """An attention or an MLP that adds to the stream.

    Attributes:
        added: the addition.
        is_attention: whether a softmax over tokens is in it.
        read: the operation whose result its last linear map reads: neurons, or heads' values; None if unknown.
        weight: name of that linear map's weight [width, inputs].
        scales: names of parameters [width] by which the result is multiplied before it is added.
        heads: of an attention; 0 if unknown.
        attends: of an attention, the operation of the softmax or of the whole attention.
        problem: why neurons or heads cannot be read, as a clause; "" if they can.
    """

    added: int
    is_attention: bool
    read: int | None = None
    weight: str = ""
    scales: tuple[str, ...] = ()
    heads: int = 0
    attends: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TokenBlock:
    """A block: the addition after which its stream is read, and its branches; None for one that it does not have."""

    stream: int
    attention: Branch | None
    mlp: Branch | None


@dataclass(frozen=True, slots=True)
class TokenStream:
    """The stream of a vision transformer.

    Attributes:
        embedding: the operation whose result the first block reads: [images, tokens, width].
        blocks: in order.
    """

    embedding: int
    blocks: tuple[TokenBlock, ...]


def find_stream(operations: Sequence[TracedOperation]) -> TokenStream | str | None:
    """The stream of a vision transformer.

    Args:
        operations: of a pass over at least two images; the first is the input.

    Returns:
        None if the model adds no branches to tokens at all, as a convolutional network; the reason as a clause if it
        does and they are no stream of one shape.
    """
    graph = _Graph(operations)
    additions = [each for each in operations if graph.is_residual(each)]
    if not additions:
        return None
    embedding, blocks, at = None, [], None
    branches: list[tuple[str, Branch]] = []
    # A pooling attention at the end adds to one token: no patch is left there.
    last = max(number for number, each in enumerate(additions) if each.shape[1] > 1 or number == 0)
    for addition in additions[: last + 1]:
        one, other = sorted((graph.back(index) for index in addition.inputs if index is not None), key=lambda t: t[0])
        if embedding is None:
            embedding = one[0]
        elif one[0] != at:
            shapes = {each.shape[1:] for each in additions}
            if len(shapes) > 1:
                return f"the number or the width of its tokens changes in the pass ({len(shapes)} shapes)"
            return f"what {addition.module or 'the model'} adds is not one residual stream"
        branch = graph.branch(addition.index, one[0], *other)
        if branch is None:
            return f"{addition.module or 'the model'} adds branches that run side by side"
        branches.append((_block_name(addition.module), branch))
        at = addition.index
    for name in dict.fromkeys(name for name, _ in branches):
        mine = [branch for other, branch in branches if other == name]
        attentions, mlps = ([b for b in mine if b.is_attention is kind] for kind in (True, False))
        if len(attentions) > 1 or len(mlps) > 1:
            return f"{name} has {len(attentions)} attentions and {len(mlps)} MLPs, and an address names one of each"
        blocks.append(TokenBlock(mine[-1].added, *(each[0] if each else None for each in (attentions, mlps))))
    assert embedding is not None
    return TokenStream(embedding, tuple(blocks))


def _block_name(module: str) -> str:
    """A module's name up to its last numbered part: ``vit.layers.0.output`` is of ``vit.layers.0``."""
    parts = module.split(".")
    while parts and not _NUMBERED.fullmatch(parts[-1]):
        parts.pop()
    return ".".join(parts) or module


class _Graph:
    """The operations of a pass, and what depends on its input."""

    def __init__(self, operations: Sequence[TracedOperation]) -> None:
        self._operations = operations
        self._of_input = {0}
        for each in operations:
            if any(index in self._of_input for index in each.inputs):
                self._of_input.add(each.index)

    def is_residual(self, operation: TracedOperation) -> bool:
        """Whether it adds two values of [images, tokens, width] that both depend on the input."""
        shape = operation.shape
        return (
            operation.name == "add"
            and operation.key is not None
            and len(shape) == 3
            and len(self._data(operation)) == len(operation.inputs) == 2
            and all(each == shape for each in operation.shapes)
        )

    def back(self, index: int) -> tuple[int, tuple[str, ...]]:
        """The operation whose value this is, but for learned factors, and the names of these."""
        scales: list[str] = []
        while True:
            operation, data = self._operations[index], self._data(self._operations[index])
            names = [name for name in operation.parameters if name]
            if operation.name == "mul" and len(data) == 1 and len(operation.inputs) == 2 and names:
                scales += names
            elif operation.name not in SAME or len(data) != 1:
                return index, tuple(scales)
            index = data[0]

    def branch(self, added: int, stream: int, end: int, scales: tuple[str, ...]) -> Branch | None:
        """The branch from the stream to ``end``; None if it does not read the stream."""
        inside, reached = self._between(stream, end)
        if not reached:
            return None
        attends = [i for i in inside if self._function(i) and _ATTENTION.search(self._function(i))]
        is_attention = bool(attends) or any(_FUSED.search(self._operations[i].name) for i in inside)
        weight, read = self._linear(end)
        problem = ""
        if is_attention and not attends:
            problem = "torch computes the whole attention in one call, whose heads are not seen (MultiheadAttention)"
        elif weight is None or read is None:
            problem = f"what it adds is the result of {self._operations[end].name}, and not of a linear map"
        elif self._operations[read].shape[:2] != self._operations[added].shape[:2]:
            problem = "its last linear map does not read one vector for each token"
        if problem or not is_attention:
            return Branch(added, is_attention, None if problem else read, weight or "", scales, problem=problem)
        assert read is not None
        heads = self._heads(attends[-1], read) if len(attends) == 1 else 0
        if not heads:
            problem = "its values are not arranged by head, or it has several attentions"
        return Branch(added, True, read, weight or "", scales, heads, attends[-1], problem)

    def _heads(self, attends: int, read: int) -> int:
        """Heads of an attention whose result is [images, tokens, heads, size] just before it is flattened; 0 if not."""
        images, tokens, width = self._operations[read].shape
        weights = self._operations[attends].shape
        heads = weights[1] if len(weights) == 4 and weights[2] == tokens else 0
        if self._function(attends).endswith("softmax") and weights[-1] != tokens:
            return 0  # over channels, as in cross-covariance attention
        index = read
        while heads and index > attends:
            shape = self._operations[index].shape
            if len(shape) == 4:
                return heads if shape[:3] == (images, tokens, heads) and shape[3] * heads == width else 0
            data = self._data(self._operations[index])
            if len(data) != 1:
                break
            index = data[0]
        return 0

    def _linear(self, index: int) -> tuple[str | None, int | None]:
        """The weight of the linear map whose result this is, and the operation that it reads."""
        if not self._function(index).endswith(".linear"):
            return None, None
        weights, reads, todo = [], set(), [index]
        while todo:  # within the call of the public function, results have no keys of their own
            operation = self._operations[todo.pop()]
            weights += [name for name in operation.parameters if name.endswith("weight")]
            for each in operation.inputs:
                if each is None:
                    continue
                if each in self._of_input and (self._operations[each].key is not None or each == 0):
                    reads.add(each)
                else:
                    todo.append(each)
        if len(weights) != 1 or len(reads) != 1:
            return None, None
        return weights[0], reads.pop()

    def _between(self, start: int, end: int) -> tuple[list[int], bool]:
        """Operations after ``start`` that ``end`` is computed from, and whether ``start`` is among its sources."""
        seen, todo, reached = set(), [end], False
        while todo:
            index = todo.pop()
            reached |= index == start
            if index <= start or index in seen:
                continue
            seen.add(index)
            todo += self._data(self._operations[index])
        return sorted(seen), reached

    def _function(self, index: int) -> str:
        key = self._operations[index].key
        return "" if key is None else str(key.function)

    def _data(self, operation: TracedOperation) -> list[int]:
        return [index for index in operation.inputs if index is not None and index in self._of_input]
