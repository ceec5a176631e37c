"""What findings about units are made of: records that a runner fills from activation indexes and a sampler's log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MovedUnits:
    """R units in an earlier index and in the later one; arrays float64 [R].

    Attributes:
        before: name of the earlier index.
        model_differs, corpus_differs: whether the two are of other models (checkpoints), of other snapshots.
        first, second: mean activation in either.
        low, high: 95 % interval of second - first; NaN where there is none.
        deviation: standard deviation of the activation over tokens; 0 where it is constant.
        q: Benjamini-Hochberg over the units; NaN where there is no interval.
        within: change at the later mixture of domains: sum over domains of their share times the change in them.
        documents: of either.
    """

    before: str
    model_differs: bool
    corpus_differs: bool
    first: np.ndarray
    second: np.ndarray
    low: np.ndarray
    high: np.ndarray
    deviation: np.ndarray
    q: np.ndarray
    within: np.ndarray
    documents: tuple[int, int]


@dataclass(frozen=True)
class DeadUnits:
    """Units that fire on no token.

    Attributes:
        dead: positions of the dead ones, int64.
        died: those of them that fired in the earlier index; None without one.
        tokens, documents: of the index.
        below: upper 95 % bound of the share of tokens on which a dead unit fires.
    """

    dead: np.ndarray
    died: np.ndarray | None
    tokens: int
    documents: int
    below: float


@dataclass(frozen=True)
class SpecialExperts:
    """E experts in D domains against all others; arrays [D, E], see `embeddings/lookup/expert_domains.py`.

    Attributes:
        names: addresses of the experts.
        domains: names.
        load, elsewhere, difference, low, high, q: as there.
        balance: by layer, its largest load over the mean one with bounds, NaN where there is none.
    """

    names: Sequence[str]
    domains: Sequence[str]
    load: np.ndarray
    elsewhere: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    q: np.ndarray
    balance: Sequence[tuple[str, float, float, float]]


@dataclass(frozen=True)
class DrawnUnits:
    """Units whose strongest examples were drawn before a spike.

    Attributes:
        first, step: steps of the run: of the window, and of the spike at its end.
        counts, expected: documents of each unit's examples that were drawn there, and in a control window on average.
        adjusted: p of each unit, for all units together.
        p, q: of the window; q over the windows.
        controls: control windows.
        examples: documents of each unit's examples that have an id.
        why: why nothing was tested; empty if it was.
    """

    first: int
    step: int
    counts: np.ndarray
    expected: np.ndarray
    adjusted: np.ndarray
    p: float
    q: float
    controls: int
    examples: np.ndarray
    why: str = ""


@dataclass(frozen=True)
class UnitAnalysis:
    """Everything about the units of an index.

    Attributes:
        index: its name.
        model: name of the model.
        units: addresses, [R].
        dead: dead ones.
        moved: against an earlier index; None without one.
        drawn: by spike; None where that was not asked, and then ``not_drawn`` says why.
        not_drawn: why windows were not looked at.
        run: id of the run whose windows these are.
        experts: specialisation by domain; None where it was not asked.
        no_experts: why it is not there.
        without_id: documents of examples that have no id.
    """

    index: str
    model: str
    units: Sequence[str]
    dead: DeadUnits | None = None
    moved: MovedUnits | None = None
    drawn: Sequence[DrawnUnits] | None = None
    not_drawn: str = ""
    run: str = ""
    experts: SpecialExperts | None = None
    no_experts: str = ""
    without_id: int = 0
