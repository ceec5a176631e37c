"""Attribution by backward rules for rectifiers: deconvolution and guided backpropagation.

* Deconvolution (Zeiler and Fergus 2014, 1311.2901) keeps a unit's activation alone and sends it back: max pooling is
  undone by its switches, a convolution by its transpose, and a rectifier passes what is positive of the signal that
  comes back: R = relu(R), whatever went forward. That is the gradient with this rule in the place of the rectifier's,
  times the activation.
* Guided backpropagation (Springenberg et al. 2015, 1412.6806) passes what is positive of the signal where the forward
  activation was positive too. Its picture hardly depends on the weights behind the first layers (1810.03292): it is no
  evidence for what a unit has learned.

Rectifiers are found in autograd's graph (`graph.py`): calls of functions and modules that are used twice are among
them. Where the image or a pooling window has ties, the switch is the first maximum, as in the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from corpus_audit.embeddings.attribution.images.methods.graph import rectifiers
from corpus_audit.embeddings.attribution.methods.target import ScalarTarget
from corpus_audit.schemas.errors import UsageError

_Gradients = tuple[torch.Tensor | None, ...]


def deconvolution(target: ScalarTarget, start: float | None = None) -> torch.Tensor:
    """What a unit's activation projects back to, in the input's own scale, float32 [C, H, W].

    Args:
        target: the unit's function and its input.
        start: what is sent back instead of the activation, above 0.

    Raises:
        UsageError: the activation is not above 0, or the model has something that the rule does not cover.
    """
    if start is None and target.value <= 0:
        raise UsageError(
            f"deconvolution projects an activation back, and there is none: it is {target.value:.4g}, not above 0"
        )

    def rule(_: _Gradients, outputs: _Gradients) -> _Gradients:
        return (None if outputs[0] is None else outputs[0].clamp(min=0),)

    return _backward(target, rule, "deconvolution", target.value if start is None else start)


def guided(target: ScalarTarget) -> torch.Tensor:
    """Guided backpropagation, float32 [C, H, W]: the gradient with negative parts left out at every rectifier.

    Raises:
        UsageError: the model has something that the rule does not cover.
    """

    def rule(inputs: _Gradients, _: _Gradients) -> _Gradients:
        return tuple(None if each is None else each.clamp(min=0) for each in inputs)

    return _backward(target, rule, "guided backpropagation", 1.0)


def _backward(
    target: ScalarTarget, rule: Callable[[_Gradients, _Gradients], _Gradients], what: str, start: float
) -> torch.Tensor:
    """The gradient times ``start``, with a rule that maps (gradients by the input, by the output) of each rectifier."""
    leaf = target.input[None].detach().requires_grad_(True)
    target.evaluations.gradients += 1
    with torch.enable_grad():
        output = target.function(leaf)[0]
    for node in rectifiers(output, leaf, what):
        node.register_hook(rule)  # lives as long as this graph
    (signal,) = torch.autograd.grad(output, leaf, torch.full_like(output, start))
    return signal[0]
