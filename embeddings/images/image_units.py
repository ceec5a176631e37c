"""Units of an image model: channels of convolutions, and logits, found by what a traced pass computes.

Those of a vision transformer's blocks are found in `vit/`, and stand beside them.

A convolution's units are read after the batch norm and the activation function that follow it, where these are all that
its result is used for: ``conv -> batch_norm -> relu6`` is read after ``relu6``. Where the result also goes elsewhere (a
skip connection takes it before the norm), or an addition comes first, they are read before that. No class names are
looked at, so that functional and shared activations count as modules do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from corpus_audit.embeddings.images.trace import Key, Operation, Trace
from corpus_audit.embeddings.images.vit.points import TokenReading, TokenUnits
from corpus_audit.schemas.units import NAME, Kind, Point

NORMS = frozenset({"native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm", "batch_norm"})
"""Operations that normalise each channel with stored statistics."""

ACTIVATIONS = frozenset(
    (
        *("relu", "relu6", "hardtanh", "clamp", "clamp_min", "threshold", "leaky_relu", "prelu", "_prelu_kernel"),
        *("rrelu_with_noise", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "hardsigmoid", "sigmoid"),
        *("tanh", "softplus", "softsign", "log_sigmoid_forward"),
    )
)
"""Operations that apply one function to every element."""


@dataclass(frozen=True, slots=True)
class MapPoint:
    """Where the units of an image model are read as maps: channels of a convolution, logits, or units by patch.

    Attributes:
        point: its address.
        operation: the operation whose result is read.
        key: how it is read in another pass.
        channels: number of units.
        height, width: of the map of a channel; 1 for logits.
        after: the operations from the convolution to the one that is read, by name, such as ``convolution``,
            ``native_batch_norm``, ``relu``; of a vision transformer, the operation that is read.
        tokens: how a map over patches is made of what is read by token; None where maps are read.
    """

    point: Point
    operation: int
    key: Key
    channels: int
    height: int
    width: int
    after: tuple[str, ...]
    tokens: TokenReading | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what is read in a pass, without the images."""
        if self.tokens is not None:
            return self.tokens.grid.tokens, self.tokens.inputs
        return (self.channels,) if self.point.kind is Kind.LOGIT else (self.channels, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Refused:
    """A convolution, the logits, or a kind of units of blocks that has no units, and why, as a clause."""

    name: str
    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class ImageUnits:
    """The points of an image model, and what has none; ``tokens``: what is known of a vision transformer's blocks."""

    points: tuple[MapPoint, ...]
    refused: tuple[Refused, ...]
    tokens: TokenUnits = field(default_factory=TokenUnits)

    def widths(self) -> dict[Point, int]:
        """Every point and its number of units."""
        return {each.point: each.channels for each in self.points}

    def of(self, point: Point) -> MapPoint:
        """Where the units of a point are read; raises KeyError if it is none of these."""
        for each in self.points:
            if each.point == point:
                return each
        raise KeyError(str(point))


def find_units(traced: Trace, modules: Sequence[str], tokens: TokenUnits | None = None) -> ImageUnits:
    """The units of a model.

    Args:
        traced: a pass over at least two images.
        modules: names of all modules of the model.
        tokens: those of its blocks, if it is a vision transformer.
    """
    tokens = tokens or TokenUnits()
    consumers = traced.consumers()
    convolutions = [each for each in traced.operations if each.name == "convolution"]
    calls = Counter(each.module for each in convolutions)
    points: list[MapPoint] = []
    refused: list[Refused] = []
    for convolution in convolutions:
        name = convolution.module
        last, after = _read_at(traced, consumers, convolution)
        reason = _problem(convolution, last, calls[name], name in modules)
        if reason is None and last.key is not None:
            *_, channels, height, width = last.shape
            point = Point(Kind.CONV, name=name)
            points.append(MapPoint(point, last.index, last.key, channels, height, width, after))
        elif Refused(name, Kind.CONV, reason or "") not in refused:
            refused.append(Refused(name, Kind.CONV, reason or ""))
    for each in tokens.points:
        grid = each.reading.grid
        size = len(grid.rows), len(grid.columns)
        points.append(MapPoint(each.point, each.operation, each.key, each.units, *size, (each.after,), each.reading))
    refused += [Refused("", kind, reason) for kind, reason in tokens.refused]
    logits = _logits(traced)
    (points if isinstance(logits, MapPoint) else refused).append(logits)  # type: ignore[arg-type]
    return ImageUnits(tuple(points), tuple(refused), tokens)


def _read_at(
    traced: Trace, consumers: dict[int, list[int]], convolution: Operation
) -> tuple[Operation, tuple[str, ...]]:
    """The operation after which a convolution is read, and the names of those from the convolution to it."""
    last, after = convolution, [convolution.name]
    for kinds in (NORMS, ACTIVATIONS):
        following = consumers[last.index]
        if len(following) != 1 or last.index == traced.output:
            break
        operation = traced.operations[following[0]]
        # The map must be what is normalised or activated, not a parameter of it.
        if operation.name in kinds and operation.inputs[0] == last.index and operation.shape == last.shape:
            last = operation
            after.append(operation.name)
    return last, tuple(after)


def _problem(convolution: Operation, last: Operation, calls: int, known: bool) -> str | None:
    name = convolution.module
    if convolution.inputs[0] is None:
        return "it reads no part of the image"
    if len(convolution.shape) != 4:
        return f"its output has {len(convolution.shape)} dimensions, not [images, channels, height, width]"
    if not known or not name:
        return "the convolution is computed by the model itself, not by a module with a name"
    if not re.fullmatch(NAME, name, re.ASCII):
        return f"the module's name {name!r} does not fit into an address (letters, digits, '_', '-' and '.')"
    if calls > 1:
        return f"the module computes {calls} convolutions in a pass, and an address names one"
    if last.key is None:
        return "its result is not returned by a function that a pass can be watched for (compiled or custom code)"
    if last.shape[2] * last.shape[3] > 2**16:
        return f"its map of {last.shape[2]} x {last.shape[3]} has more than {2**16:,} positions"
    return None


def _logits(traced: Trace) -> MapPoint | Refused:
    if traced.output is None:
        return Refused("", Kind.LOGIT, "the model's output is not the result of its pass")
    output = traced.operations[traced.output]
    if output.name in ("_softmax", "softmax", "_log_softmax", "sigmoid"):
        before = output.inputs[0]
        if before is None or output.name == "sigmoid":
            return Refused("", Kind.LOGIT, f"the model ends in {output.name.strip('_')}: return its logits")
        output = traced.operations[before]  # the probabilities' logits: gradients after a softmax vanish
    if len(output.shape) != 2:
        return Refused(
            "", Kind.LOGIT, f"the model returns [{', '.join(map(str, output.shape))}], not [images, classes]"
        )
    if output.key is None:
        return Refused("", Kind.LOGIT, "the output is not returned by a function that a pass can be watched for")
    return MapPoint(Point(Kind.LOGIT), output.index, output.key, output.shape[1], 1, 1, (output.name,))
