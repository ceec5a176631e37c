"""What was checked of an attribution, over all examples of a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.attribution.results import Attributed


@dataclass(frozen=True, slots=True)
class CurveChecks:
    """Deletion and insertion beside random orders, over the examples for which they were computed.

    Attributes:
        examples: how many those are.
        deletion, insertion: mean areas of the attribution's own order.
        random_mean, random_low, random_high: of the areas of all random orders.
        orders: random orders of all examples together.
        deletion_beaten, insertion_beaten: random orders that do better than the attribution's of their example: with a
            lower area of deletion, or a higher one of insertion.
    """

    examples: int
    deletion: float
    insertion: float
    random_mean: float
    random_low: float
    random_high: float
    orders: int
    deletion_beaten: int
    insertion_beaten: int


@dataclass(frozen=True, slots=True)
class PermutedWeights:
    """Mean rank correlations with attributions after weights were permuted, over the examples that have them."""

    examples: int
    block: float
    blocks: float


def curve_checks(examples: Sequence[Attributed]) -> CurveChecks | None:
    """Deletion and insertion of those examples that have them; None if there are none."""
    deletion, insertion, random, lower, higher = [], [], [], 0, 0
    for example in examples:
        if example.random_areas and example.deletion is not None and example.insertion is not None:
            deletion.append(example.deletion)
            insertion.append(example.insertion)
            random += example.random_areas
            lower += sum(area < example.deletion for area in example.random_areas)
            higher += sum(area > example.insertion for area in example.random_areas)
    if not deletion:
        return None
    return CurveChecks(
        examples=len(deletion),
        deletion=float(np.mean(deletion)),
        insertion=float(np.mean(insertion)),
        random_mean=float(np.mean(random)),
        random_low=min(random),
        random_high=max(random),
        orders=len(random),
        deletion_beaten=lower,
        insertion_beaten=higher,
    )


def permuted_weights(examples: Sequence[Attributed]) -> PermutedWeights | None:
    """Correlations with permuted weights of those examples that have them; None if there are none."""
    pairs = [
        (example.randomised_block, example.randomised_all)
        for example in examples
        if example.randomised_block is not None and example.randomised_all is not None
    ]
    if not pairs:
        return None
    block, blocks = np.mean(pairs, axis=0).tolist()
    return PermutedWeights(len(pairs), block, blocks)
