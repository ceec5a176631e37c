"""The linear maps of a block: which calls of a traced pass are linear, and which part of the block each belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from corpus_audit.embeddings.architecture.layouts import same
from corpus_audit.embeddings.architecture.tracing import Call, Trace

MLP = re.compile(r"MLP|Mlp|FeedForward|FeedForwardNetwork|FFN|Ffn|ParallelExperts|DenseActDense|DenseGatedActDense")
ATTENTION = re.compile(r"Attention|Attn|MLA$")
MIXER = re.compile(r"Mamba|Mixer|SSM|Conv|Recurrent|Delta|LSTM|Fourier|Lightning|Linear|Rwkv|KDA|Retention|GatedNorm")
EXPERTS = re.compile(r"(^|\.)(?!shared)\w*experts?(\.|$)")
SHARED = re.compile(r"shared_?(experts?|mlp)")
MIXTURE = re.compile(r"Expert|MoE|Moe|Sparse")


@dataclass(frozen=True)
class Projection:
    """A call of a linear map within a block.

    Attributes:
        weight: [inputs, outputs].
        owner: name of the part it belongs to: the attention, mixer or MLP; of the block's own, the block.
        kind: attention, mixer, adapter, experts, mlp, or empty where only the block holds it.
    """

    call: Call
    weight: torch.Tensor
    owner: str
    kind: str

    @property
    def inputs(self) -> int:
        """Width of the input."""
        return int(self.weight.shape[0])

    @property
    def outputs(self) -> int:
        """Width of the output."""
        return int(self.weight.shape[1])


def class_name(module: nn.Module) -> str:
    """The name of a module's class less the model's own: ``ConvBertAttention`` is an Attention, and no convolution."""
    name, package = type(module).__name__, type(module).__module__.split(".")
    model = package[-2].replace("_", "").lower() if len(package) > 1 else ""
    rest, matched = name, 0
    while rest and matched < len(model) and (rest[0] == "_" or rest[0].lower() == model[matched]):
        matched += rest[0] != "_"
        rest = rest[1:]
    return rest.lstrip("_") if rest and matched == len(model) and name not in _NO_ATTENTION else name


_NO_ATTENTION = ("RwkvSelfAttention",)
"""Classes called attention that weigh no pairs of tokens; their own name says so."""


def projections(trace: Trace, steps: Sequence[Call], block: str) -> list[Projection]:
    """The linear maps of a block's calls, in order; ``block`` is the block's name, or that of what stands for it."""
    results = []
    for call in steps:
        weight = linear_weight(call)
        if weight is not None:
            kind, owner = _owner(trace, call.name, block)
            results.append(Projection(call, weight, owner, kind))
    return results


def linear_weight(call: Call) -> torch.Tensor | None:
    """The weights [inputs, outputs] of a call whose output is its input times them, plus a bias; else None."""
    weight, given, output = getattr(call.module, "weight", None), call.given, call.output
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2 or given is None or output is None:
        return None
    if not given.is_floating_point() or not weight.is_floating_point() or given.shape[:-1] != output.shape[:-1]:
        return None
    matrix = projection(call.module)
    if (given.shape[-1], output.shape[-1]) != tuple(matrix.shape):
        return None
    bias = getattr(call.module, "bias", None)
    offset = bias.detach().float() if isinstance(bias, torch.Tensor) else None
    return matrix if same(functional.linear(given.float(), matrix.T.float(), offset), output) else None


def _owner(trace: Trace, name: str, block: str) -> tuple[str, str]:
    """What a module within a block belongs to: kind and name of the part."""
    prefix = block if name.startswith(f"{block}.") else ""
    inner = [(each, class_name(part)) for each, part in trace.ancestors(name, prefix)]
    if not prefix:  # a norm stands for the block: its parts are elsewhere in the model
        inner = [(each, kind) for each, kind in inner if not kind.endswith(("Model", "List", "LMHeadModel"))]
    path = name[len(prefix) :]
    if EXPERTS.search(path) and not SHARED.search(path):
        return "experts", next((each for each, _ in inner if EXPERTS.search(each[len(prefix) :])), prefix)
    if adapter := next((each for each, kind in inner if "Adapter" in kind), ""):
        return "adapter", adapter
    for each, kind in reversed(inner):
        if MLP.search(kind) and not MIXTURE.search(kind):
            return "mlp", each
    for each, kind in inner:
        if MIXER.search(kind) or "linear_attn" in each[len(prefix) :]:
            return "mixer", each
        if ATTENTION.search(kind):
            return "attention", each
    shared = next((each for each, _ in inner if SHARED.search(each[len(prefix) :])), "")
    return ("mlp", shared) if shared else ("", prefix)


def projection(module: nn.Module) -> torch.Tensor:
    """The weights of a projection as [inputs, outputs]; GPT-2's Conv1D stores them so, nn.Linear the other way."""
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach() if type(module).__name__ == "Conv1D" else weight.detach().T


def input_width(module: nn.Module) -> int:
    """Inputs of a projection."""
    return int(projection(module).shape[0])


def output_width(module: nn.Module) -> int:
    """Outputs of a projection."""
    return int(projection(module).shape[1])
