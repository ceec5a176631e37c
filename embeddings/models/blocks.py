"""The blocks of a transformer and what can be read in them, established by a traced pass.

`stream` finds the blocks, `parts` their projections, `routers` the routers of mixtures of experts; `layouts` says how
each tensor is arranged. What a model has and what is not offered is listed with the reason: nothing is left out without
a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from corpus_audit.embeddings.architecture.layouts import Layout
from corpus_audit.embeddings.architecture.parts import ROUTED, BlockPart, find_attention, find_mlp
from corpus_audit.embeddings.architecture.projections import (
    ATTENTION,
    Projection,
    class_name,
    input_width,
    output_width,
    projection,
    projections,
)
from corpus_audit.embeddings.architecture.stream import find_block_calls
from corpus_audit.embeddings.architecture.tracing import Call, Trace
from corpus_audit.embeddings.index.not_offered import NotOffered
from corpus_audit.embeddings.models.routers import Router, detect_router
from corpus_audit.schemas.units import Kind

__all__ = [
    "Blocks", "NotOffered", "Reading", "TransformerBlock", "find_blocks", "input_width", "output_width", "projection",
]  # fmt: skip

_ROUTER = re.compile(r"(^|\.)(gate|router|router\.classifier)$")
_ROUTER_CLASS = re.compile(r"Router|TopK|Top2|Gate$|Gating")
_MIXTURE = re.compile(r"Expert|MoE|Moe|SparseM")


@dataclass(frozen=True)
class Reading:
    """A tensor that is read in every pass.

    Attributes:
        module: computes or receives it.
        is_input: whether it is the module's input, or else the first tensor of its output.
        layout: how it is arranged.
        width: units.
        call: which call of the module in a pass it is; a module that blocks share is called more than once.
        calls: how many calls of the module there are in a pass.
        name: of the module in the model.
    """

    module: nn.Module
    is_input: bool
    layout: Layout
    width: int
    call: int = 0
    calls: int = 1
    name: str = ""


@dataclass(frozen=True)
class TransformerBlock:
    """One transformer block and its parts; None where it has no such part, or where it cannot be read.

    Attributes:
        module: its output, or the first of its outputs, is the residual stream.
        down: the MLP's down projection; its input is the neurons.
        up: an ungated MLP's projection before the activation function.
        attention_out: the attention's output projection; its input is the heads' values [.., h * head_size].
        router: a mixture of experts' router.
        stream, entering, neurons, before, values: how the stream, what enters the MLP, the neurons, the neurons before
            the activation function and the heads' values are read.
        heads: attention heads; 0 without ``values``.
        reads_stream: whether the input of ``module`` is the residual stream in front of the block.
    """

    module: nn.Module
    down: nn.Module | None = None
    up: nn.Module | None = None
    attention_out: nn.Module | None = None
    router: Router | None = None
    stream: Reading | None = None
    entering: Reading | None = None
    neurons: Reading | None = None
    before: Reading | None = None
    values: Reading | None = None
    heads: int = 0
    reads_stream: bool = True


@dataclass(frozen=True)
class Blocks:
    """The blocks of a model.

    Attributes:
        blocks: in order.
        hidden: width of the residual stream.
        not_offered: what is missing, by kind and reason.
    """

    blocks: tuple[TransformerBlock, ...]
    hidden: int
    not_offered: tuple[NotOffered, ...]


def find_blocks(trace: Trace, architecture: str, heads: int, count: int | None = None) -> Blocks:
    """The blocks of a traced model.

    Args:
        trace: of the model.
        architecture: name of its class, for messages.
        heads: attention heads of a block, where the attention itself does not say it; 0 if that is unknown.
        count: how many blocks there are, if that is known (``config.num_hidden_layers``).

    Raises:
        UsageError: there are no blocks.
    """
    calls = find_block_calls(trace, architecture, count)
    hidden = _width(trace, calls.outputs[0])
    missing: dict[tuple[Kind, str, bool], list[int]] = {}

    def note(kind: Kind, block: int, reason: str, exists: bool = True) -> None:
        missing.setdefault((kind, reason, exists), []).append(block)

    blocks = []
    for b, (output, steps) in enumerate(zip(calls.outputs, calls.steps, strict=True)):
        name = (
            output.name if any(call is not output for call in steps if call.name.startswith(f"{output.name}.")) else ""
        )
        linear = projections(trace, steps, name)
        mlp = find_mlp(trace, linear, steps, hidden)
        attention = find_attention(trace, linear, steps, hidden)
        attention, of_block = _heads(trace, attention, heads)
        router, reason = _router(trace, steps, name)
        for kind, part in ((Kind.MLP, mlp), (Kind.HEAD, attention)):
            if part.reason:
                note(kind, b, part.reason, part.exists)
        if reason:
            note(Kind.EXPERT, b, reason)
        if calls.reason:
            note(Kind.RESID, b, calls.reason)
        if mlp.projection is not None and any(_is_routed(call) for call in steps):
            note(Kind.MLP, b, f"{ROUTED} (mlp units are those of the MLP that runs on every token)")
        blocks.append(
            TransformerBlock(
                module=output.module,
                down=_module(mlp.projection),
                up=_module(mlp.up),
                attention_out=_module(attention.projection),
                router=router,
                stream=None if calls.reason else _reading(trace, output, False, hidden),
                entering=_input(trace, mlp.first),
                neurons=_input(trace, mlp.projection),
                before=None if mlp.up is None else _reading(trace, mlp.up.call, False, mlp.up.outputs),
                values=_input(trace, attention.projection),
                heads=of_block,
                reads_stream=bool(name),
            )
        )
    not_offered = tuple(NotOffered(kind, tuple(b), reason, exists) for (kind, reason, exists), b in missing.items())
    return Blocks(tuple(blocks), hidden, not_offered)


def _width(trace: Trace, call: Call) -> int:
    stream = trace.stream(call)
    tensor = stream if stream is not None else call.output
    return 0 if tensor is None else int(tensor.shape[-1])


def _module(part: Projection | None) -> nn.Module | None:
    return None if part is None else part.call.module


def _input(trace: Trace, part: Projection | None) -> Reading | None:
    return None if part is None else _reading(trace, part.call, True, part.inputs)


def _reading(trace: Trace, call: Call, is_input: bool, width: int) -> Reading | None:
    layout = trace.layout(call, is_input)
    return (
        None
        if layout is None
        else Reading(call.module, is_input, layout, width, call.number, trace.calls_of(call.module), call.name)
    )


_HEAD_COUNTS = ("num_attention_heads", "num_heads", "n_heads", "n_head", "num_attn_heads")


def _heads(trace: Trace, attention: BlockPart, configured: int) -> tuple[BlockPart, int]:
    """The attention and how many heads its values have, as the attention or its configuration says."""
    if attention.projection is None:
        return attention, 0
    owners = [part for _, part in trace.ancestors(attention.projection.call.name)][::-1]
    own = [n for part in owners for key in _HEAD_COUNTS if type(n := getattr(part, key, None)) is int and n > 0]
    heads = own[0] if own else configured
    name = type(trace.modules[attention.projection.owner]).__name__
    if "DiffLlama" in name or "DiffAttention" in name:
        return BlockPart(reason=f"the heads of {name} are differences of pairs, normalised together"), 0
    if not heads or attention.projection.inputs % heads:
        width = attention.projection.inputs
        return BlockPart(reason=f"{width} values of {name} cannot be divided into {heads} heads"), 0
    return attention, heads


def _is_routed(call: Call) -> bool:
    return bool(re.search(r"(^|\.)experts?(\.|$)", call.name)) or class_name(call.module).endswith("Experts")


def _router(trace: Trace, steps: Sequence[Call], block: str) -> tuple[Router | None, str]:
    """The router of a block, and why it has none although there are experts."""
    mixtures = [call for call in steps[:-1] if _MIXTURE.search(class_name(call.module))]
    if not mixtures and not any(_is_routed(call) for call in steps):
        return None, ""
    candidates = [
        call
        for call in steps
        if (_ROUTER.search(call.name) or _ROUTER_CLASS.search(class_name(call.module)))
        and not any(ATTENTION.search(class_name(part)) for _, part in trace.ancestors(call.name, block))
    ]
    for call in candidates:
        experts_per_token = _experts_per_token(trace, call)
        if call.given is None:
            continue
        router = detect_router(call.module, experts_per_token, call.given, call.returned)
        if router is None or router.experts < 2:
            continue
        other = trace.alone.get((call.name, call.number))
        if other is None or call.number:
            return None, f"the router {call.name} is shared by blocks"
        if not router.is_batch_first(call.returned, other.returned):
            return None, f"the logits of {call.name} cannot be assigned to tokens"
        return router, ""
    names = sorted({class_name(call.module) for call in (candidates or mixtures)})
    return None, f"a trial pass does not show the router's logits or choice ({', '.join(names)})"


def _experts_per_token(trace: Trace, call: Call) -> int:
    """How many experts a router sends a token to, if it or what holds it says so; else 0."""
    holders: list[Any] = [call.module, *[part for _, part in trace.ancestors(call.name)][::-1][:2]]
    for holder in [*holders, *(getattr(each, "config", None) for each in holders)]:
        for key in ("top_k", "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k"):
            if type(k := getattr(holder, key, None)) is int and k > 0:
                return k
    return 0
