"""The methods and baselines for images by name, and what a method's result does not show; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ImageMethod(StrEnum):
    """How an activation is attributed to pixels, or to the cells of a feature map."""

    INTEGRATED_GRADIENTS = "integrated_gradients"
    OCCLUSION = "occlusion"
    GRADIENT_X_INPUT = "gradient_x_input"
    SALIENCY = "saliency"
    CAM = "cam"
    GRAD_CAM = "grad_cam"
    DECONVOLUTION = "deconvolution"
    GUIDED = "guided"


class ImageBaseline(StrEnum):
    """What stands for an image without content: its own mean colour, or the same colour for every image."""

    MEAN = "mean"
    BLACK = "black"
    WHITE = "white"


@dataclass(frozen=True, slots=True)
class ImageMethodFacts:
    """What to know of a method.

    Attributes:
        about: what a pixel's or a cell's value is.
        caveat: what it does not show.
        evidence: whether it may be taken as evidence for what the unit responds to.
        judged: whether a high correlation with the map of permuted weights says that the map hardly depends on them;
            else the correlation is reported only, as a factor of the image stays in the map.
    """

    about: str
    caveat: str
    evidence: bool = True
    judged: bool = False


FACTS = {
    ImageMethod.INTEGRATED_GRADIENTS: ImageMethodFacts(
        "the pixel's part of the difference between the activation and that of the baseline",
        "It depends on the baseline: pixels that have its colour get 0. The difference to the baseline multiplies the "
        "gradient, so that outlines stay when weights are permuted: that correlation is reported, not judged.",
    ),
    ImageMethod.OCCLUSION: ImageMethodFacts(
        "how far the activation falls when a patch over the pixel is replaced by the baseline, the mean over the "
        "patches that cover it",
        "Effects of single patches need not sum to the effect of all. The edges of a patch are new content, and the "
        "model may not have been trained on images with such patches.",
    ),
    ImageMethod.GRADIENT_X_INPUT: ImageMethodFacts(
        "the product of gradient and pixel, a first-order approximation",
        "It is local, and depends on where the scale of pixels has its 0. The pixel multiplies the gradient whatever "
        "the model has learned.",
    ),
    ImageMethod.SALIENCY: ImageMethodFacts(
        "the length of the gradient over the colours: how sensitive the activation is to the pixel",
        "It has no sign. Where the activation is saturated, the gradient of what causes it is near 0.",
        judged=True,
    ),
    ImageMethod.CAM: ImageMethodFacts(
        "the cell's part of the logit: the mean over the cells, plus the bias, is the logit",
        "A cell sees its receptive field, which can be most of the image: the map is no finer than that, and small "
        "causes can lie beside it.",
        judged=True,
    ),
    ImageMethod.GRAD_CAM: ImageMethodFacts(
        "the cell's activations, weighted by the mean gradient of their channel",
        "A cell sees its receptive field, which can be most of the image. The mean over positions is only exact where "
        "all that follows is a mean and a linear map.",
        judged=True,
    ),
    ImageMethod.DECONVOLUTION: ImageMethodFacts(
        "what the activation projects back to, by the switches of max pooling and rectified at every rectifier",
        "Without max pooling it depends on the weights of the path alone and hardly on the image. It shows a pattern "
        "to look at, and no parts of the activation.",
        judged=True,
    ),
    ImageMethod.GUIDED: ImageMethodFacts(
        "the gradient, with negative parts left out at every rectifier",
        "Not evidence: its picture is much the same when the weights behind the first layers are random (1810.03292).",
        evidence=False,
        judged=True,
    ),
}
