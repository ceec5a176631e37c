"""Traced forward passes: the calls of all modules in order, with their inputs and outputs.

What a module is called in `transformers` says little about what it computes; what it was handed and what it returned
does. A trace runs a few texts of different tokens, and one of them alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from corpus_audit.embeddings.architecture.layouts import Layout, same

ROWS, LENGTH, ALONE = 3, 7, 1
"""Texts and tokens of a trace, and the text that runs alone."""


@dataclass(frozen=True)
class Call:
    """A call of a module.

    Attributes:
        name: of the module in the model.
        number: how many calls of the same module came before in the pass.
        start, end: of the call, among all starts and ends of the pass.
        given: its input: the first tensor among its arguments; None without any.
        returned: everything that it returned.
    """

    name: str
    module: nn.Module
    number: int
    start: int
    end: int
    given: torch.Tensor | None
    returned: Any

    @property
    def output(self) -> torch.Tensor | None:
        """The first tensor that it returned."""
        return first_tensor(self.returned)


@dataclass(frozen=True)
class Trace:
    """The calls of a pass over `ROWS` texts, and of one over text `ALONE` by itself.

    Attributes:
        calls: in order of their ends.
        alone: the calls of the other pass, by name and number.
        hidden_states: [B, L, d] each, as the model returns them; empty if it returns none.
        logits: [B, L, vocabulary], and those of the text alone; None if the model returns none.
        modules: by name.
    """

    calls: tuple[Call, ...]
    alone: dict[tuple[str, int], Call]
    hidden_states: tuple[torch.Tensor, ...]
    logits: tuple[torch.Tensor, torch.Tensor] | None
    modules: dict[str, nn.Module] = field(repr=False)

    def layout(self, call: Call, is_input: bool) -> Layout | None:
        """How the input or the output of a call is arranged; None if that cannot be established."""
        other = self.alone.get((call.name, call.number))
        if other is None:
            return None
        batch, single = (each.given if is_input else each.output for each in (call, other))
        if batch is None or single is None or not batch.is_floating_point():
            return None
        return Layout.detect(batch, single, (ROWS, LENGTH), ALONE, self.padded)

    @cached_property
    def padded(self) -> int:
        """Tokens to which the model pads texts, at their ends, before its blocks; 0 if it does not.

        A block's output is then longer than the model's hidden states, which are its beginning.
        """
        for call in self.calls:
            output = call.output
            if output is None or output.dim() != 3 or output.shape[0] != ROWS or output.shape[1] <= LENGTH:
                continue
            if any(same(output[:, :LENGTH], state) for state in self.hidden_states[1:-1]):
                return int(output.shape[1])
        return 0

    def stream(self, call: Call) -> torch.Tensor | None:
        """What a call returned, as [B, L, width]; None if it is not arranged by text and token."""
        layout = self.layout(call, is_input=False)
        output = call.output
        return None if layout is None or output is None else layout.arrange(output, (ROWS, LENGTH), call.name)

    def calls_of(self, module: nn.Module) -> int:
        """How many calls of a module there are in a pass."""
        return sum(call.module is module for call in self.calls)

    def ancestors(self, name: str, below: str = "") -> Iterator[tuple[str, nn.Module]]:
        """Names and modules that hold a module, from the outermost one below ``below`` inwards."""
        steps = name.split(".")
        for length in range(1, len(steps)):
            prefix = ".".join(steps[:length])
            if prefix in self.modules and (not below or prefix.startswith(f"{below}.")):
                yield prefix, self.modules[prefix]


def first_tensor(value: Any) -> torch.Tensor | None:
    """The first tensor of a module's output: itself, or of a tuple, list or output object."""
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, dict):
        value = tuple(each for each in value.values() if each is not None)
    if isinstance(value, tuple | list) and value:
        return first_tensor(value[0])
    return None


def given_tensor(inputs: Sequence[Any], named: dict[str, Any]) -> torch.Tensor | None:
    """The first tensor among a module's arguments; of named ones, ``hidden_states`` comes first."""
    ordered = [*inputs, named.get("hidden_states"), *named.values()]
    return next((each for each in ordered if isinstance(each, torch.Tensor)), None)


def probe_ids(vocabulary: int, avoided: Iterable[int], device: torch.device) -> torch.Tensor:
    """Ids of the texts of a trace, int64 [`ROWS`, `LENGTH`]: all different if the vocabulary allows it.

    Args:
        vocabulary: number of ids.
        avoided: special tokens; models treat the padding token differently wherever it stands.
        device: of the model.
    """
    excluded = set(avoided)
    usable = [i for i in range(vocabulary) if i not in excluded] or list(range(vocabulary))
    step = max(1, len(usable) // (ROWS * LENGTH))
    ids = [usable[(i * step) % len(usable)] for i in range(ROWS * LENGTH)]
    return torch.tensor(ids, device=device).reshape(ROWS, LENGTH)


def trace(module: nn.Module, ids: torch.Tensor) -> Trace:
    """Trace a model; ``ids`` are those of `probe_ids`."""
    calls, output = record_calls(module, ids)
    alone, single = record_calls(module, ids[ALONE : ALONE + 1])
    states = getattr(output, "hidden_states", None)
    tensors = tuple(state for state in states if isinstance(state, torch.Tensor)) if states else ()
    logits = getattr(output, "logits", None), getattr(single, "logits", None)
    return Trace(
        calls,
        {(call.name, call.number): call for call in alone},
        tensors,
        (logits[0], logits[1]) if all(isinstance(each, torch.Tensor) for each in logits) else None,
        {name: part for part, name in _names(module).items()},
    )


def _names(module: nn.Module) -> dict[nn.Module, str]:
    """The name of every module in a model; the first one of a module that has several."""
    return {part: name for name, part in reversed(list(module.named_modules()))}


def record_calls(module: nn.Module, ids: torch.Tensor) -> tuple[tuple[Call, ...], Any]:
    """Run a model on [B, L] ids, and return the calls of all of its modules, in order of their ends, and its output."""
    names = _names(module)
    calls: list[Call] = []
    numbers: dict[nn.Module, int] = {}
    running: list[int] = []
    clock = 0

    def before(_part: nn.Module, _inputs: Any) -> None:
        nonlocal clock
        running.append(clock)
        clock += 1

    def after(part: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        nonlocal clock
        number = numbers.get(part, 0)
        numbers[part] = number + 1
        calls.append(
            Call(names[part], part, number, running.pop(), clock, _copied(given_tensor(inputs, named)), _copied(output))
        )
        clock += 1

    handles: list[Any] = []
    try:
        for part in names:
            handles.append(part.register_forward_pre_hook(before))
            handles.append(part.register_forward_hook(after, with_kwargs=True))
        with torch.inference_mode():
            try:
                output = module(input_ids=ids, output_hidden_states=True)
            except TypeError:  # a module of an entry point may take ids alone
                calls.clear()
                numbers.clear()
                running.clear()
                output = module(input_ids=ids)
    finally:
        for handle in handles:
            handle.remove()
    return tuple(calls), output


def _copied(value: Any) -> Any:
    """A copy of all tensors: a model may add to them in place later."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return tuple(_copied(each) for each in value.values() if each is not None)
    if isinstance(value, tuple | list):
        return tuple(_copied(each) for each in value)
    return value
