"""For each operation of a traced pass: which part of its inputs a part of its result is computed from.

A part is a `Box`: a range of indices in every dimension of a tensor, both ends included. Of a convolution with stride
s, padding p, dilation d and kernel k, outputs a to b are computed from inputs a*s - p to b*s - p + (k-1)*d; what lies
in the padding is cut off. A range is the hull of what is read: with dilation or strides, indices within may be skipped.

Rules that treat a dimension as a whole (norms over it, means, matrix products, attention) are exact where every element
is used, as these operations do. An operation without a rule is taken to read everything, and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from corpus_audit.embeddings.images.boxes import Box, Range, clipped, regrouped, whole
from corpus_audit.embeddings.images.image_units import ACTIVATIONS, NORMS
from corpus_audit.embeddings.images.trace import Operation

Boxes = list[Box | None]
"""By input of an operation: the box that is read; None: nothing is."""

Rule = Callable[[Operation, Box], Boxes]

_POINTWISE = (
    ACTIVATIONS
    | NORMS
    | frozenset(
        (
            *("add", "sub", "rsub", "mul", "div", "pow", "maximum", "minimum", "where", "lerp", "addcmul", "addcdiv"),
            *("neg", "abs", "exp", "log", "log1p", "sqrt", "rsqrt", "reciprocal", "erf", "sign", "floor", "round"),
            *("sin", "cos", "square", "isnan", "eq", "ne", "gt", "ge", "lt", "le", "logical_not", "bitwise_not"),
            *("clone", "detach", "alias", "contiguous", "_to_copy", "to", "lift_fresh", "dropout", "native_dropout"),
            *("clamp_max", "masked_fill", "copy", "fill", "zero"),
        )
    )
)


def rule_of(name: str) -> Rule | None:
    """The rule of an operation; None if there is none."""
    return _pointwise if name in _POINTWISE else _RULES.get(name)


def _pointwise(operation: Operation, box: Box) -> Boxes:
    """The same indices; of an input that is broadcast, its only index."""
    boxes: Boxes = []
    for number, shape in enumerate(operation.shapes):
        if operation.name in NORMS and number:  # weights and stored statistics
            boxes.append(whole(shape))
            continue
        ranges = box[len(box) - len(shape) :]
        boxes.append(tuple((0, 0) if size == 1 else each for each, size in zip(ranges, shape, strict=True)))
    return boxes


def _pair(value: Any, dimensions: int) -> list[int]:
    values = [int(each) for each in value] if isinstance(value, tuple) else [int(value)]
    return values * dimensions if len(values) == 1 else values


def _windows(
    ranges: Sequence[Range],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[Range]:
    """The formula of the module's docstring, by dimension."""
    return [
        (low * s - p, high * s - p + (k - 1) * d)
        for (low, high), k, s, p, d in zip(ranges, kernel, stride, padding, dilation, strict=True)
    ]


def _convolution(operation: Operation, box: Box) -> Boxes:
    _, _, _, stride, padding, dilation, transposed, _, groups = operation.arguments
    source, weight = operation.shapes[0], operation.shapes[1]
    n = len(source) - 2
    stride, padding, dilation = (_pair(each, n) for each in (stride, padding, dilation))
    if transposed:
        # An input i reaches outputs i*s - p to i*s - p + (k-1)*d; a division that rounds up.
        spatial = [
            (-((p + (k - 1) * d - low) // s), (high + p) // s)
            for (low, high), k, s, p, d in zip(box[2:], weight[2:], stride, padding, dilation, strict=True)
        ]
    else:
        spatial = _windows(box[2:], weight[2:], stride, padding, dilation)
    channels = _grouped(box[1], operation.shape[1] // int(groups), source[1] // int(groups))
    others: Boxes = [whole(shape) for shape in operation.shapes[1:]]
    return [clipped([box[0], channels, *spatial], source), *others]


def _grouped(outputs: Range, each: int, read: int) -> Range:
    """The input channels of a range of output channels; a group reads ``read`` channels and has ``each``."""
    return outputs[0] // each * read, (outputs[1] // each + 1) * read - 1


def _pool(operation: Operation, box: Box) -> Boxes:
    kernel, stride, padding = operation.arguments[1:4]
    is_max = operation.name.startswith("max")
    n = 2
    kernel = _pair(kernel, n)
    stride = _pair(stride, n) if stride not in ((), None) else kernel
    dilation = _pair(operation.arguments[4], n) if is_max else [1] * n
    spatial = _windows(box[-n:], kernel, stride, _pair(padding, n), dilation)
    return [clipped([*box[:-n], *spatial], operation.shapes[0])]


def _adaptive_pool(operation: Operation, box: Box) -> Boxes:
    """Output i averages inputs floor(i*n/m) to ceil((i+1)*n/m) - 1."""
    source = operation.shapes[0]
    spatial = [
        (low * n // m, -(-(high + 1) * n // m) - 1)
        for (low, high), n, m in zip(box[-2:], source[-2:], operation.shape[-2:], strict=True)
    ]
    return [(*box[:-2], *spatial)]


def _pad(operation: Operation, box: Box) -> Boxes:
    """Padding is given from the last dimension on, before and after."""
    source, ranges = operation.shapes[0], list(box)
    amounts = operation.arguments[1]
    for number in range(len(amounts) // 2):
        axis, before = len(source) - 1 - number, int(amounts[2 * number])
        low, high, size = ranges[axis][0] - before, ranges[axis][1] - before, source[axis]
        if operation.name.startswith("reflection"):
            indices = [abs(i) if i < size else 2 * (size - 1) - i for i in range(low, high + 1)]
            low, high = min(indices), max(indices)
        elif operation.name.startswith("replication"):
            low, high = min(max(low, 0), size - 1), min(max(high, 0), size - 1)
        ranges[axis] = (low, high)
    return [clipped(ranges, source)]


def _reduced(operation: Operation, box: Box) -> Boxes:
    """A mean, sum or extremum over dimensions, all of which are read."""
    source, axes = operation.shapes[0], _reduced_axes(operation)
    kept = list(box)
    if len(operation.shape) < len(source):
        others = iter(box)
        kept = [(0, 0) if axis in axes else next(others) for axis in range(len(source))]
    return [tuple((0, size - 1) if axis in axes else kept[axis] for axis, size in enumerate(source))]


def _reduced_axes(operation: Operation) -> set[int]:
    n = len(operation.shapes[0])
    number = 2 if operation.name == "linalg_vector_norm" else 1
    axes = operation.arguments[number] if len(operation.arguments) > number else ()
    axes = axes if isinstance(axes, tuple) else (axes,) if isinstance(axes, int) else ()
    return {int(axis) % n for axis in axes} or set(range(n))


def _along(operation: Operation, box: Box) -> Boxes:
    """A softmax or cumulative sum along a dimension."""
    axis = int(operation.arguments[1]) % len(box)
    ranges = [(0, operation.shape[axis] - 1) if i == axis else each for i, each in enumerate(box)]
    return [tuple(ranges)]


def _layer_norm(operation: Operation, box: Box) -> Boxes:
    normalised = len(operation.arguments[1])
    source = operation.shapes[0]
    first = (*box[: len(box) - normalised], *whole(source[len(source) - normalised :]))
    return [first, *(whole(shape) for shape in operation.shapes[1:])]


def _by_sample(operation: Operation, box: Box) -> Boxes:
    """Group and instance norms: everything of an image."""
    return [
        (box[0], *whole(shape[1:])) if number == 0 else whole(shape) for number, shape in enumerate(operation.shapes)
    ]


def _concatenated(operation: Operation, box: Box) -> Boxes:
    axis = int(operation.arguments[1] if len(operation.arguments) > 1 else 0) % len(box)
    boxes: Boxes = []
    start = 0
    for shape in operation.shapes:
        ranges = list(box)
        ranges[axis] = (box[axis][0] - start, box[axis][1] - start)
        boxes.append(clipped(ranges, shape))
        start += shape[axis]
    return boxes


def _permuted(operation: Operation, box: Box) -> Boxes:
    n = len(box)
    if operation.name == "permute":
        order = [int(axis) % n for axis in operation.arguments[1]]
    else:
        order = list(range(n))
        first, second = (0, 1) if operation.name == "t" else (int(axis) % n for axis in operation.arguments[1:3])
        if n > 1:
            order[first], order[second] = order[second], order[first]
    ranges: list[Range] = [(0, 0)] * n
    for axis, source in enumerate(order):
        ranges[source] = box[axis]
    return [tuple(ranges)]


def _reshaped(operation: Operation, box: Box) -> Boxes:
    """A view of the same elements in the same order: dimensions in groups of the same number of elements."""
    source = [size for size in operation.shapes[0] if size > 1]
    result = [(size, each) for size, each in zip(operation.shape, box, strict=True) if size > 1]
    ranges: list[Range] = []
    i = j = 0
    while i < len(source):
        first_i, first_j = i, j
        given, made = source[i], result[j][0]
        i, j = i + 1, j + 1
        while given != made:
            if given < made:
                given, i = given * source[i], i + 1
            else:
                made, j = made * result[j][0], j + 1
        ranges += regrouped(source[first_i:i], result[first_j:j])
    others = iter(ranges)
    return [tuple((0, 0) if size == 1 else next(others) for size in operation.shapes[0])]


def _sliced(operation: Operation, box: Box) -> Boxes:
    source = operation.shapes[0]
    given = dict(zip(("axis", "start", "end", "step"), operation.arguments[1:], strict=False))
    axis, start, step = int(given.get("axis", 0)) % len(source), int(given.get("start") or 0), int(given.get("step", 1))
    start = max(start + source[axis], 0) if start < 0 else start
    ranges = list(box)
    ranges[axis] = (start + box[axis][0] * step, start + box[axis][1] * step)
    return [tuple(ranges)]


def _selected(operation: Operation, box: Box) -> Boxes:
    source = operation.shapes[0]
    axis = int(operation.arguments[1]) % len(source)
    index = int(operation.arguments[2]) % source[axis]
    return [(*box[:axis], (index, index), *box[axis:])]


def _split(operation: Operation, box: Box) -> Boxes:
    """Parts along a dimension; which of them is read is not known, so all of it is."""
    source = operation.shapes[0]
    given = operation.arguments[1:] if operation.name == "unbind" else operation.arguments[2:]
    axis = int(given[0] if given else 0) % len(source)
    rest = box[axis:] if operation.name == "unbind" else box[axis + 1 :]
    return [(*box[:axis], (0, source[axis] - 1), *rest)]


def _expanded(operation: Operation, box: Box) -> Boxes:
    source = operation.shapes[0]
    ranges = box[len(box) - len(source) :]
    return [tuple((0, 0) if size == 1 else each for each, size in zip(ranges, source, strict=True))]


def _product(operation: Operation, box: Box) -> Boxes:
    """Matrix products: the rows of the first, the columns of the second, and all between; a bias is broadcast."""
    boxes: Boxes = []
    if len(operation.shapes) == 3:  # addmm, baddbmm
        bias = operation.shapes[0]
        ranges = box[len(box) - len(bias) :]
        boxes.append(tuple((0, 0) if size == 1 else each for each, size in zip(ranges, bias, strict=True)))
    left, right = operation.shapes[-2:]
    boxes.append((*box[:-1], (0, left[-1] - 1)))
    boxes.append((*box[:-2], (0, right[-2] - 1), box[-1]))
    return boxes


def _linear(operation: Operation, box: Box) -> Boxes:
    others: Boxes = [whole(shape) for shape in operation.shapes[1:]]
    return [(*box[:-1], (0, operation.shapes[0][-1] - 1)), *others]


def _attention(operation: Operation, box: Box) -> Boxes:
    """Scaled dot products of [B, heads, L, d]: a query reads every key and value of its image and head."""
    ranges: Boxes = []
    for number, shape in enumerate(operation.shapes):
        if number == 0:
            ranges.append((*box[:-1], (0, shape[-1] - 1)))
        else:
            ranges.append((*box[:-2], *whole(shape[-2:])) if len(shape) == len(box) else whole(shape))
    return ranges


def _nearest(operation: Operation, box: Box) -> Boxes:
    """Nearest-neighbour enlargement: output i is input floor(i*n/m)."""
    source = operation.shapes[0]
    spatial = [
        (low * n // m, high * n // m)
        for (low, high), n, m in zip(box[-2:], source[-2:], operation.shape[-2:], strict=True)
    ]
    return [(*box[:-2], *spatial)]


def is_global(operation: Operation) -> bool:
    """Whether an operation reads all positions of a map for each result: global pooling, attention, group norms."""
    rule = rule_of(operation.name)
    if rule is _reduced:
        axes = [axis for axis in _reduced_axes(operation) if operation.shapes[0][axis] > 1]
        return len(axes) != 1 or len(operation.shapes[0]) != 4
    return rule in (_adaptive_pool, _by_sample, _attention)


_RULES: dict[str, Rule] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _pool,
    "avg_pool2d": _pool,
    "_adaptive_avg_pool2d": _adaptive_pool,
    "adaptive_max_pool2d": _adaptive_pool,
    "constant_pad_nd": _pad,
    "reflection_pad2d": _pad,
    "replication_pad2d": _pad,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "var", "var_mean", "std", "linalg_vector_norm"), _reduced),
    **dict.fromkeys(("_softmax", "softmax", "_log_softmax", "cumsum"), _along),
    "native_layer_norm": _layer_norm,
    "native_group_norm": _by_sample,
    "cat": _concatenated,
    **dict.fromkeys(("permute", "transpose", "t"), _permuted),
    **dict.fromkeys(
        ("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "_reshape_alias", "flatten"), _reshaped
    ),
    "slice": _sliced,
    "select": _selected,
    **dict.fromkeys(("split", "split_with_sizes", "unbind"), _split),
    "expand": _expanded,
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), _product),
    "linear": _linear,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "upsample_nearest2d": _nearest,
}
