"""Attribution by occlusion (Zeiler and Fergus 2014, 1311.2901): how far the activation falls without a part.

A position's value is the mean of F(x) - F(x with a patch replaced by the baseline) over the patches that cover it. With
one patch a position, as of tokens, it is the effect of that position alone; these effects need not sum to F(x) - F(b),
because positions act together. A patch of the whole input has exactly that effect.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.embeddings.attribution.methods.target import ScalarTarget


def single_positions(target: ScalarTarget) -> np.ndarray:
    """One patch for each position where input and baseline differ, bool [N, *positions]."""
    free = np.argwhere(target.free)
    patches = np.zeros((len(free), *target.positions), bool)
    patches[(np.arange(len(free)), *free.T)] = True
    return patches


def effects(target: ScalarTarget, patches: np.ndarray) -> np.ndarray:
    """F(x) - F(x with a patch replaced), float64 [N], of patches bool [N, *positions]."""
    fall: np.ndarray = target.value - target.masked_values(patches)
    return fall


def occlusion(target: ScalarTarget, patches: np.ndarray | None = None) -> np.ndarray:
    """The mean effect of the patches that cover a position, float64 [*positions]; 0 where none does.

    Args:
        target: the function, its input and its baseline.
        patches: bool [N, *positions]; by default one a position.
    """
    patches = single_positions(target) if patches is None else patches
    fall = effects(target, patches)
    covered = patches.reshape(len(patches), int(np.prod(target.positions))).astype(np.float64)
    counts = np.maximum(covered.sum(axis=0), 1.0)
    means: np.ndarray = (fall @ covered / counts).reshape(target.positions)
    return means
