"""Reads points of an image model while it runs: values are taken from the calls of functions that return them.

With gradients enabled outside, the values are part of the graph, so that a unit's activation can be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from corpus_audit.embeddings.images.image_units import MapPoint
from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.images.trace import CallCounter, Key
from corpus_audit.schemas.errors import AuditError

MapSink = Callable[[MapPoint, torch.Tensor], torch.Tensor | None]
"""Called with a point and its values: [B, channels, height, width], or [B, classes] of logits.

The model goes on with what it returns, or with the values if that is None; of heads, with a copy of what it computed.
"""


class PointReader(TorchFunctionMode):  # type: ignore[misc]
    """Within the block, hands the values of points to a function while the model runs once.

    Values are handed on as soon as they exist: a later operation may work in place on them. Each use reads one pass.
    """

    def __init__(
        self,
        points: Iterable[MapPoint],
        sink: MapSink,
        watched: Mapping[Key, Callable[[torch.Tensor], None]] | None = None,
    ) -> None:
        super().__init__()
        self._watched = dict(watched or {})
        self._unseen = set(self._watched)
        self._points: dict[Key, MapPoint] = {point.key: point for point in points}
        self._sink, self._calls = sink, CallCounter()
        self._unread = set(self._points)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        key = self._calls.next(func)
        value = func(*args, **(kwargs or {}))
        if key in self._watched:
            self._unseen.discard(key)
            self._watched[key](value)
        point = self._points.get(key)
        if point is not None:
            if not isinstance(value, torch.Tensor) or tuple(value.shape[1:]) != point.shape:
                raise AuditError(f"the model computes {point.point} in another way than in its trial pass")
            self._unread.discard(key)
            maps = value if point.tokens is None else point.tokens.maps(value)
            replaced = self._sink(point, maps)
            if replaced is None:
                return value
            return replaced if point.tokens is None else point.tokens.replaced(value, replaced)
        return value

    def check_complete(self) -> None:
        """Check that every point was read.

        Raises:
            AuditError: the pass did not reach one.
        """
        if self._unseen:
            raise AuditError("the model does not compute the vector of an image as in its trial pass")
        if self._unread:
            point = self._points[min(self._unread, key=str)]
            raise AuditError(f"the model does not compute {point.point} as in its trial pass")


def run_reading(
    model: ImageModel,
    inputs: torch.Tensor,
    points: Iterable[MapPoint],
    sink: MapSink,
    watched: Mapping[Key, Callable[[torch.Tensor], None]] | None = None,
) -> torch.Tensor:
    """Run a model on [B, 3, h, w], hand the values of points to a function, and return the model's output.

    Args:
        model: the model.
        inputs: float32 [B, 3, h, w].
        points: whose values are read.
        sink: is called with each.
        watched: functions that are called with other results of the pass, by key.

    Raises:
        AuditError: a value has another shape than in the trial pass, or a point was not reached.
    """
    reader = PointReader(points, sink, watched)
    with reader:
        output = model.run(inputs)
    reader.check_complete()
    return output


def read_maps(model: ImageModel, inputs: torch.Tensor, points: Iterable[MapPoint]) -> dict[MapPoint, torch.Tensor]:
    """The values of points in a pass over [B, 3, h, w]; `run_with_maps` without the output."""
    return run_with_maps(model, inputs, points)[0]


def run_with_maps(
    model: ImageModel, inputs: torch.Tensor, points: Iterable[MapPoint]
) -> tuple[dict[MapPoint, torch.Tensor], torch.Tensor]:
    """The values of points in a pass over [B, 3, h, w], and the model's output.

    The model goes on with copies, so that work in place does not change what is returned. With gradients enabled, the
    output depends on the returned values (``torch.autograd.grad(output[0, c], maps[point])``), and these on the inputs;
    of heads, whose norms are no part of the pass, only the latter.
    """
    maps: dict[MapPoint, torch.Tensor] = {}

    def keep(point: MapPoint, values: torch.Tensor) -> torch.Tensor:
        maps[point] = values
        return values.clone()

    output = run_reading(model, inputs, points, keep)
    return maps, output
