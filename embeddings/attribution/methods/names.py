"""The attribution methods by name: what each computes, whether it has a sign, and what its result does not show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """How activation is attributed to positions."""

    INTEGRATED_GRADIENTS = "integrated_gradients"
    OCCLUSION = "occlusion"
    GRADIENT_X_INPUT = "gradient_x_input"
    SALIENCY = "saliency"


class BaselineToken(StrEnum):
    """What stands for a token that says nothing."""

    AUTO = "auto"
    MASK = "mask"
    MEAN = "mean"
    ZERO = "zero"


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """What to know of a method.

    Attributes:
        about: what a token's value is.
        caveat: what it does not show.
        of_change: whether a value is a part of F(x) - F(b), of which shares are given then; else they are of the sum.
    """

    about: str
    caveat: str
    of_change: bool = False


FACTS = {
    Method.INTEGRATED_GRADIENTS: MethodFacts(
        "the token's part of the difference between the activation and that of the baseline",
        "It depends on the baseline. The difference to the baseline multiplies the gradient, so that the order of "
        "tokens can stay alike when weights are permuted: that correlation is reported, not judged.",
        of_change=True,
    ),
    Method.OCCLUSION: MethodFacts(
        "how far the activation falls when the token alone is replaced by the baseline",
        "Tokens act together: effects of single tokens need not sum to the effect of all, and of two tokens that each "
        "suffice, neither has an effect. The model may not have been trained on text with replaced tokens.",
        of_change=True,
    ),
    Method.GRADIENT_X_INPUT: MethodFacts(
        "the product of gradient and word embedding, a first-order approximation",
        "It is local: where the activation is saturated, a token without which it would fall has a gradient near 0. "
        "The embedding multiplies the gradient whatever the model has learned.",
    ),
    Method.SALIENCY: MethodFacts(
        "the length of the gradient: how sensitive the activation is to the token's embedding",
        "It has no sign: a token that would lower the activation ranks as high as one that raises it. Where the "
        "activation is saturated, the gradient of what causes it is near 0.",
    ),
}

SHORT = 0.1
"""A baseline whose embedding is shorter than this share of a word's is reported: a norm makes steps from it steep."""


def short_baseline(length: float) -> str | None:
    """What to know of a baseline whose embedding is short, `SHORT`; None if it is not.

    Args:
        length: of the baseline's embedding, over a word's.
    """
    if length >= SHORT:
        return None
    return (
        f"its embedding has {length:.0%} of a word's length. A layer norm makes the path from it steep at its "
        "beginning, where parts can go to the wrong tokens: compare with --method occlusion"
    )


SENSITIVE = 0.5
"""A saliency map whose rank correlation with that of permuted weights is above this hardly depends on them."""
