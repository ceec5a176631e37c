"""Whether an attribution orders positions by what they do to the activation: deletion and insertion (RISE, 1806.07421).

Deletion replaces positions by the baseline from the highest attribution to the lowest, insertion puts them into the
baseline in that order. The curve of the activation, (F - F(b)) / (F(x) - F(b)) over the share of positions, has an
area: a good attribution has a small one for deletion and a large one for insertion. Values are taken with their sign: a
position that lowers the activation comes last. Areas mean nothing alone, so random orders stand beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.attribution.methods.target import ScalarTarget

ORDERS, STEPS = 20, 10


@dataclass(frozen=True)
class Faithfulness:
    """Areas under curves of deletion and insertion; the curve begins or ends at 1.

    Attributes:
        deletion, insertion: areas in the attribution's order.
        random: areas of random orders, ascending. They serve both: deletion in an order is insertion in its reverse.
    """

    deletion: float
    insertion: float
    random: tuple[float, ...]


def faithfulness(
    target: ScalarTarget,
    values: np.ndarray,
    seed: int,
    orders: int = ORDERS,
    steps: int = STEPS,
    cells: np.ndarray | None = None,
) -> Faithfulness | None:
    """Areas of an attribution's order and of random ones.

    Args:
        target: the function, its input and its baseline.
        values: float64 [*positions], the attribution.
        seed: of the random orders.
        orders: random orders.
        steps: points of a curve after its first; positions are replaced in so many parts.
        cells: int64 [*positions], the number of each position's cell: cells are ordered, by the mean of their values,
            and replaced as wholes, in the attribution's order and in random ones alike. By default every position is a
            cell. Pixels in a random order make noise, which does to a network what no region of an image does.

    Returns:
        None if the baseline has the same activation as the input, or fewer than two cells differ: nothing falls.
    """
    cells = np.arange(values.size) if cells is None else cells.ravel()
    sizes = np.bincount(cells)
    free = np.flatnonzero(np.bincount(cells, target.free.ravel()) > 0)
    if len(free) < 2 or target.value == target.baseline_value:
        return None
    means = np.bincount(cells, values.ravel()) / np.maximum(sizes, 1)
    descending = free[np.argsort(-means[free], kind="stable")]
    rng = np.random.default_rng(seed)
    random = [rng.permutation(free) for _ in range(orders)]
    edges = np.unique(np.linspace(0, len(free), min(steps, len(free)) + 1).round().astype(int))
    areas = _deletion_areas(target, [descending, descending[::-1], *random], edges, cells)
    # Inserting in an order passes through the same inputs as deleting in its reverse, from the other end.
    return Faithfulness(float(areas[0]), float(areas[1]), tuple(sorted(areas[2:].tolist())))


def _deletion_areas(target: ScalarTarget, orders: list[np.ndarray], edges: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The area under the deletion curve of each order of cells, float64 [N]; the curve's ends are known."""
    masks = np.zeros((len(orders), len(edges) - 2, int(cells.max()) + 1), bool)
    for order, mask in zip(orders, masks, strict=True):
        for row, edge in zip(mask, edges[1:-1].tolist(), strict=True):
            row[order[:edge]] = True
    inner = np.stack([target.masked_values(mask[:, cells].reshape(-1, *target.positions)) for mask in masks])
    curve = (inner - target.baseline_value) / (target.value - target.baseline_value)
    curve = np.concatenate([np.ones((len(orders), 1)), curve, np.zeros((len(orders), 1))], axis=1)
    areas: np.ndarray = np.trapezoid(curve, edges / edges[-1], axis=1)
    return areas
