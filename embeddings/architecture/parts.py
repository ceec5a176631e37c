"""The parts of a block: which of its projections write an MLP's or an attention's result to the residual stream.

Candidates are linear maps that a traced pass shows to be linear and as wide as the stream at their output. Classes and
names of the modules around them say whether they belong to an attention, to another mixer of tokens (a state-space
model, a convolution, a linear attention), to routed experts, or to an MLP. What a block has and what cannot be read is
returned with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from corpus_audit.embeddings.architecture.layouts import same
from corpus_audit.embeddings.architecture.projections import (
    ATTENTION,
    EXPERTS,
    MIXTURE,
    MLP,
    SHARED,
    Projection,
    class_name,
    linear_weight,
)
from corpus_audit.embeddings.architecture.tracing import LENGTH, ROWS, Call, Trace

ROUTED = "neurons of routed experts exist only for the tokens that are sent to them"


@dataclass(frozen=True)
class BlockPart:
    """A part of a block, or why it has no units: ``reason`` is empty exactly where ``projection`` is set.

    Attributes:
        projection: writes to the residual stream.
        up: of an ungated MLP, the projection in front of the activation function.
        first: of an MLP, the first projection that reads what the MLP is handed.
        exists: whether the block has such a part at all.
    """

    projection: Projection | None = None
    up: Projection | None = None
    first: Projection | None = None
    reason: str = ""
    exists: bool = True


def find_attention(trace: Trace, candidates: Sequence[Projection], steps: Sequence[Call], width: int) -> BlockPart:
    """The attention's output projection: the last of its linear maps whose output is as wide as the stream."""
    inside = [each for each in candidates if each.kind == "attention"]
    owners = {each.owner for each in inside}
    if not inside:
        mixers = sorted({_class(trace, each.owner) for each in candidates if each.kind == "mixer"})
        if mixers:
            return BlockPart(reason=f"{' and '.join(mixers)} mixes tokens in place of softmax attention", exists=False)
        has = [type(call.module).__name__ for call in steps if ATTENTION.search(class_name(call.module))]
        if has:
            return BlockPart(reason=f"{has[-1]} has no linear output projection that a trial pass shows")
        return BlockPart(reason="no attention", exists=False)
    if len(owners) > 1:
        return BlockPart(reason=f"the block has {len(owners)} attentions: {_listed(owners)}")
    writing = [each for each in inside if each.outputs == width]
    owner = next(iter(owners))
    if not writing:
        return BlockPart(reason=f"{_class(trace, owner)} has no linear map to the {width} dimensions of the stream")
    last = writing[-1]
    if any(each.call.start > last.call.end for each in inside):
        return BlockPart(reason=f"in {_class(trace, owner)}, the last linear map does not write to the stream")
    if trace.layout(last.call, is_input=True) is None:
        return BlockPart(reason=_shapeless(last))
    if last.call.given is not None and not bool(last.call.given.any()):
        return BlockPart(reason=f"{_class(trace, owner)} computes nothing but zeros on this machine")
    return BlockPart(last)


def find_mlp(trace: Trace, candidates: Sequence[Projection], steps: Sequence[Call], width: int) -> BlockPart:
    """The MLP's down projection: the last linear map of the one MLP in the block that runs on every token."""
    owners = list(dict.fromkeys(each.owner for each in candidates if each.kind == "mlp" and each.outputs == width))
    routed = [call.name for call in steps if EXPERTS.search(f".{call.name}") and not SHARED.search(call.name)]
    if not owners:
        own = [each for each in candidates if not each.kind]
        down = next((each for each in reversed(own) if each.outputs == width), None)
        if down is not None and _is_after_activation(down, candidates, steps):
            return _mlp(trace, down, own)
        if routed or any(MIXTURE.search(class_name(call.module)) for call in steps[:-1]):
            return BlockPart(reason=ROUTED)
        named = [call for call in steps if MLP.search(class_name(call.module)) and call.module is not steps[-1].module]
        if named:
            return BlockPart(
                reason=f"{class_name(named[-1].module)} has no linear map to the {width} dimensions of the stream "
                "that a trial pass shows"
            )
        if any(isinstance(call.module, nn.Conv1d) for call in steps) and not any(
            each.kind == "mixer" for each in candidates
        ):
            return BlockPart(reason="its layers are convolutions, and no linear maps")
        return BlockPart(reason="no MLP", exists=False)
    if len(owners) > 1:
        return BlockPart(reason=f"the block has {len(owners)} MLPs that run on every token: {_listed(owners)}")
    inside = [each for each in candidates if each.owner == owners[0]]
    writing = [each for each in inside if each.outputs == width]
    # RWKV multiplies what the MLP writes by a gate, which is computed last: what reads an activation comes first.
    activated = [each for each in writing if len(writing) > 1 and _reads_activation(each, inside)]
    return _mlp(trace, (activated or writing)[-1], inside)


def _mlp(trace: Trace, down: Projection, inside: Sequence[Projection]) -> BlockPart:
    layout = trace.layout(down.call, is_input=True)
    if layout is None:
        return BlockPart(reason=_shapeless(down))
    before = [each for each in inside if each.outputs == down.inputs and each.call.end < down.call.start]
    up = before[-1] if len(before) == 1 and _is_activated(before[0].call, down.call) else None
    if up is not None and trace.layout(up.call, is_input=False) is None:
        up = None
    widths = (down.inputs, 2 * down.inputs)
    reading = [each for each in inside if each.outputs in widths and each.call.end < down.call.start]
    first = reading[0] if reading and reading[0].inputs == down.outputs else None
    return BlockPart(down, up, first)


def _reads_activation(down: Projection, inside: Sequence[Projection]) -> bool:
    """Whether a projection reads an activation function of another's output, or its product with a second one."""
    earlier = [each.call for each in inside if each.call.end < down.call.start]
    outputs = [call.output for call in earlier if call.output is not None and call.output.shape[-1] == down.inputs]
    fused = [call.output for call in earlier if call.output is not None and call.output.shape[-1] == 2 * down.inputs]
    given = down.call.given
    assert given is not None
    pairs = [tuple(both.chunk(2, -1)) for both in fused] + [(one, other) for one in outputs for other in outputs]
    pairs += [(other, one) for one, other in pairs]
    for function in _functions():
        if any(_equals(function(one.float()), given) for one in outputs):
            return True
        if any(_equals(function(one.float()) * other.float(), given) for one, other in pairs if one is not other):
            return True
    return False


def _equals(values: torch.Tensor, given: torch.Tensor) -> bool:
    return values.numel() == given.numel() and same(values.reshape(given.shape), given)


def _is_activated(up: Call, down: Call) -> bool:
    """Whether the input of a down projection is an activation function of an up projection's output, and no more."""
    before, after = up.output, down.given
    if before is None or after is None:
        return False
    return any(_equals(function(before.float()), after) for function in _functions())


_PARAMETRIC = {"xielu", "prelu", "linear"}
"""Names of activation functions that have parameters, or are none."""


@cache
def _functions() -> tuple[nn.Module, ...]:
    """The activation functions of `transformers`."""
    from transformers.activations import ACT2CLS, ACT2FN

    return tuple(ACT2FN[name] for name in ACT2CLS if name not in _PARAMETRIC)


def _is_after_activation(down: Projection, candidates: Sequence[Projection], steps: Sequence[Call]) -> bool:
    """Whether a projection reads no linear map's or norm's output, and one of the former is as wide as its input."""
    given = down.call.given
    assert given is not None
    earlier = [call for call in steps if call.end < down.call.start]
    plain = [call for call in earlier if linear_weight(call) is not None or class_name(call.module).endswith("Norm")]
    if any(call.output is not None and same(call.output.reshape(-1), given.reshape(-1)) for call in plain):
        return False
    return any(
        each.call.end < down.call.start and each.outputs in (down.inputs, 2 * down.inputs) and each.kind in ("", "mlp")
        for each in candidates
    )


def _shapeless(projection: Projection) -> str:
    name, given = projection.call.name.rpartition(".")[2], projection.call.given
    shape = [] if given is None else list(given.shape)
    return f"{name} reads {shape} for {[ROWS, LENGTH]} tokens, which cannot be assigned to tokens"


def _class(trace: Trace, name: str) -> str:
    return type(trace.modules[name]).__name__ if name in trace.modules else name or "the block"


def _listed(names: Sequence[str] | set[str]) -> str:
    paths = sorted(name.replace(".", "/") for name in names)
    shared = os.path.commonpath(paths)
    return ", ".join(os.path.relpath(path, shared).replace("/", ".") for path in paths)
