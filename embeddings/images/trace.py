"""A traced pass of an image model: the operations that it computed, in order, and how each can be read again.

Two things are recorded at once. The operations of torch's core library (`aten`) say what was computed from what: they
are few, whatever a model's code calls, so that units and receptive fields follow from them and not from class names.
The calls of torch's public functions around them (``relu6``, ``conv2d``, ``+``) say how to find a value again in
another pass, with gradients if they are wanted: as the result of the n-th call of a function (`reading.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True, slots=True)
class Key:
    """Where a value is read in a pass: the result of the ``number``-th call of a public function, from 0."""

    function: str
    number: int


@dataclass(frozen=True)
class Operation:
    """An operation of a traced pass; the first is the input.

    Attributes:
        index: position in the trace.
        name: of torch's core library, without its variant and without the mark of in-place work: ``relu``, ``add``.
        inputs: the operations whose results it takes, in the order of its tensors; None for parameters and constants.
        arguments: its arguments, with a `Ref` in place of every tensor.
        shape: of its result, or of its first result.
        shapes: of its tensors, in the order of ``inputs``.
        module: the innermost module that was running, by name.
        parameters: names of the parameters and buffers among its tensors, "" for others; in the order of ``inputs``.
        key: how its result is read; None if no public function returned it.
        aliased: it wrote into memory that another value shares in another shape, so that what reads what is not known.
    """

    index: int
    name: str
    inputs: tuple[int | None, ...]
    arguments: tuple[Any, ...]
    shape: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    module: str
    parameters: tuple[str, ...] = ()
    key: Key | None = None
    aliased: bool = False


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands for a tensor among the arguments of an operation: its position in ``Operation.inputs``."""

    position: int


@dataclass
class Trace:
    """The operations of a pass over one batch.

    Attributes:
        operations: in order; the first is the input.
        output: the operation whose result the model returned; None if it is not known.
        returned: the tensor that the model returned, [B, ...].
    """

    operations: list[Operation] = field(default_factory=list)
    output: int | None = None
    returned: torch.Tensor | None = None

    def consumers(self) -> dict[int, list[int]]:
        """By operation, those that take its result; an operation that takes it twice stands twice."""
        consumers: dict[int, list[int]] = {operation.index: [] for operation in self.operations}
        for operation in self.operations:
            for index in operation.inputs:
                if index is not None:
                    consumers[index].append(operation.index)
        return consumers


def trace(module: nn.Module, pixels: torch.Tensor) -> Trace:
    """Run a model on [B, 3, h, w] and record what it computes; parameters are left as they are."""
    recorder = _Recorder(module, pixels)
    handles = []
    try:
        for name, part in module.named_modules():
            handles.append(part.register_forward_pre_hook(lambda *_, name=name: recorder.running.append(name)))
            handles.append(part.register_forward_hook(lambda *_: recorder.leave(), always_call=True))
        # In inference mode, operations would come here before they are broken down to those of the core library.
        with torch.inference_mode(False), torch.no_grad(), _Functions(recorder), _Operations(recorder):
            returned = first_tensor(module(pixels))
    finally:
        for handle in handles:
            handle.remove()
    result = Trace(recorder.operations)
    if returned is not None:
        result.output = recorder.node_of(returned)
        result.returned = returned.detach().clone()
    return result


def first_tensor(value: Any) -> torch.Tensor | None:
    """What an image model returned as a tensor: ``logits`` of an output object, else the first tensor."""
    if isinstance(value, torch.Tensor):
        return value
    logits = getattr(value, "logits", None)
    if isinstance(logits, torch.Tensor):
        return logits
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return next((tensor for part in parts if (tensor := first_tensor(part)) is not None), None)


def function_name(function: Any) -> str:
    """The name of a public function, the same in every pass."""
    return f"{getattr(function, '__module__', None) or ''}.{getattr(function, '__qualname__', function)}"


class CallCounter:
    """Numbers the calls of each public function in one pass."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def next(self, function: Any) -> Key:
        """The key of a call that begins now."""
        name = function_name(function)
        key = Key(name, self._counts[name])
        self._counts[name] += 1
        return key


class _Recorder:
    """The operations of a pass while it runs; every tensor stays alive, so that no identity is used twice."""

    def __init__(self, module: nn.Module, pixels: torch.Tensor) -> None:
        self.operations = [Operation(0, "input", (), (), tuple(pixels.shape), (), "")]
        self.running: list[str] = []
        self._alive: list[torch.Tensor] = [pixels]
        self._node: dict[int, int] = {id(pixels): 0}
        self._storage: dict[int, list[torch.Tensor]] = {_storage(pixels): [pixels]}
        self._names = {id(value): name for name, value in [*module.named_parameters(), *module.named_buffers()]}

    def leave(self) -> None:
        """A module's call ended."""
        self.running.pop()

    def node_of(self, tensor: torch.Tensor) -> int | None:
        """The operation that computed what a tensor holds now; None if none of this pass did."""
        return self._node.get(id(tensor))

    def returned(self, key: Key, value: Any) -> None:
        """A public function returned a value, which is read by this key from now on; the first function counts."""
        node = self.node_of(value) if isinstance(value, torch.Tensor) else None
        if node is not None and node > 0 and self.operations[node].key is None:
            self.operations[node] = replace(self.operations[node], key=key)

    def record(self, name: str, arguments: tuple[Any, ...], value: Any, in_place: bool) -> None:
        """An operation ran."""
        tensors: list[torch.Tensor] = []
        plain = _without_tensors(arguments, tensors)
        index = len(self.operations)
        results = list(_tensors(value))
        if not results:
            return
        aliased = in_place and any(
            other is not results[0] and other.shape != results[0].shape
            for other in self._storage.get(_storage(results[0]), ())
        )
        self.operations.append(
            Operation(
                index=index,
                name=name,
                inputs=tuple(self.node_of(tensor) for tensor in tensors),
                arguments=plain,
                shape=tuple(results[0].shape),
                shapes=tuple(tuple(tensor.shape) for tensor in tensors),
                module=self.running[-1] if self.running else "",
                parameters=tuple(self._names.get(id(tensor), "") for tensor in tensors),
                aliased=aliased,
            )
        )
        for tensor in results:
            shared = self._storage.setdefault(_storage(tensor), [])
            for other in shared if in_place else ():
                self._node[id(other)] = index
            if all(other is not tensor for other in shared):
                shared.append(tensor)
            self._alive.append(tensor)
            self._node[id(tensor)] = index


class _Operations(TorchDispatchMode):  # type: ignore[misc]
    """Records operations of the core library."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        value = func(*args, **(kwargs or {}))
        schema = func._schema
        in_place = schema.name.endswith("_") and not schema.name.endswith("__")
        names = [argument.name for argument in schema.arguments][len(args) :]
        ordered = (*args, *((kwargs or {}).get(name, _default(schema, name)) for name in names))
        self._recorder.record(schema.name.removeprefix("aten::").rstrip("_"), ordered, value, in_place)
        return value


class _Functions(TorchFunctionMode):  # type: ignore[misc]
    """Notes which public functions returned the results."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder, self._calls = recorder, CallCounter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        key = self._calls.next(func)
        value = func(*args, **(kwargs or {}))
        self._recorder.returned(key, value)
        return value


def _default(schema: Any, name: str) -> Any:
    return next(argument.default_value for argument in schema.arguments if argument.name == name)


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)


def _without_tensors(value: Sequence[Any], tensors: list[torch.Tensor]) -> tuple[Any, ...]:
    """Arguments with a `Ref` in place of every tensor, which goes into ``tensors``."""

    def plain(each: Any) -> Any:
        if isinstance(each, torch.Tensor):
            tensors.append(each)
            return Ref(len(tensors) - 1)
        return tuple(map(plain, each)) if isinstance(each, tuple | list) else each

    return tuple(map(plain, value))
