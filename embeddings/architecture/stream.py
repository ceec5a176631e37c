"""Finds the blocks of a transformer by what a traced pass computes: the modules whose outputs are its hidden states.

Lists of modules alone do not tell: XLM keeps four lists as long as the model is deep, a vision-language model has
towers, ALBERT calls one module many times, and XLM's blocks are no modules (the last norm of each then stands for it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from corpus_audit.embeddings.architecture.layouts import same
from corpus_audit.embeddings.architecture.tracing import Call, Trace
from corpus_audit.schemas.errors import UsageError


@dataclass(frozen=True)
class BlockCalls:
    """The calls of a model's blocks.

    Attributes:
        outputs: the call of each block whose output is the residual stream, in order.
        steps: all calls that belong to each block.
        reason: why these outputs are not offered as units; empty if they are.
    """

    outputs: tuple[Call, ...]
    steps: tuple[tuple[Call, ...], ...]
    reason: str = ""


def find_block_calls(trace: Trace, architecture: str, count: int | None = None) -> BlockCalls:
    """The calls of the blocks.

    Args:
        trace: of the model.
        architecture: name of the model's class, for the message.
        count: how many blocks there are, if the configuration says it.

    Raises:
        UsageError: no module is called once for each block.
    """
    families = _families(trace.calls)
    states = trace.hidden_states
    fitting = [family for family in families if _is_stream(trace, family)]
    if fitting:
        outputs = max(fitting, key=_span)
        return BlockCalls(outputs, _steps(trace, outputs))
    depth = len(states) - 1 if states else count
    chained = [family for family in families if _is_chain(trace, family) and depth in (None, len(family))]
    if not states and chained:
        outputs = max(chained, key=lambda family: (len(family), _span(family)))
        return BlockCalls(outputs, _steps(trace, outputs))
    called = [family for family in families if len(family) == depth]
    if not called:
        raise UsageError(
            f"{architecture} has no blocks that this version can find: in a trial pass, no module is called once for "
            f"each of {depth if depth is not None else 'its'} blocks with outputs that are its hidden states"
        )
    outputs = max(called, key=_span)
    shapes = sorted({str(list(call.output.shape)) for call in outputs if call.output is not None})
    wanted = "the model's hidden states" if states else "what the next block reads"
    reason = f"the outputs of {architecture}'s blocks ({', '.join(shapes)} for [3, 7] tokens) are not {wanted}"
    return BlockCalls(outputs, _steps(trace, outputs), reason)


def _families(calls: Sequence[Call]) -> list[tuple[Call, ...]]:
    """Calls of modules whose names differ in one number, or of one module, in order of their ends."""
    families: dict[str, list[Call]] = {}
    for call in calls:
        steps = call.name.split(".")
        for position, step in enumerate(steps):
            if step.isdigit():
                families.setdefault(".".join([*steps[:position], "{}", *steps[position + 1 :]]), []).append(call)
        if call.name:
            families.setdefault(call.name, []).append(call)
    return [tuple(family) for family in families.values()]


def _span(family: Sequence[Call]) -> int:
    return sum(call.end - call.start for call in family)


def _is_stream(trace: Trace, family: Sequence[Call]) -> bool:
    """Whether the outputs are the hidden states; of the last, also what its norm makes of it.

    The hidden states begin with the embedding, or, as in Mamba, with the first block's output.
    """
    states = trace.hidden_states
    if len(states) < 2 or len(family) != len(states) - 1:
        return False
    if any(call.output is None or call.output.shape[-1] != states[-1].shape[-1] for call in family):
        return False
    streams = [stream for call in family if (stream := trace.stream(call)) is not None]
    if len(streams) < len(family):
        return False
    first = 1 if len(family) > 1 and same(streams[0], states[1]) else 0
    if len(family) > 1 and not all(same(*pair) for pair in zip(streams[:-1], states[first:], strict=False)):
        return False
    if same(streams[-1], states[-1]):
        return True
    later = [call for call in trace.calls if call.start > family[-1].end]
    return any(
        call.given is not None
        and same(call.given.reshape(-1), streams[-1].reshape(-1))
        and (output := trace.stream(call)) is not None
        and same(output, states[-1])
        for call in later
    )


def _is_chain(trace: Trace, family: Sequence[Call]) -> bool:
    """Whether each call reads what the one before returned."""
    if len(family) < 2:
        return False
    for call, following in pairwise(family):
        if call.output is None or following.given is None or not same(call.output, following.given):
            return False
    return all(trace.stream(call) is not None for call in family)


def _steps(trace: Trace, outputs: Sequence[Call]) -> tuple[tuple[Call, ...], ...]:
    """The calls within each block's call; where a norm stands for a block, those since the last block's."""
    within = [[call for call in trace.calls if of.start <= call.start and call.end <= of.end] for of in outputs]
    if any(len(calls) > 1 for calls in within):
        return tuple(tuple(calls) for calls in within)
    ends = [-1, *(call.end for call in outputs)]
    return tuple(
        tuple(call for call in trace.calls if begin < call.start and call.end <= end) for begin, end in pairwise(ends)
    )
