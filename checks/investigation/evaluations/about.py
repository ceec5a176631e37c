"""How findings of a comparison of evaluations are named, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from corpus_audit.pipelines.evaluations.wording import OptionNames
from corpus_audit.schemas.run.findings import Explanation, FindingWindow


@dataclass(frozen=True, slots=True)
class About:
    """How findings of a comparison are named, and what they have in common.

    Attributes:
        prefix: before the task in their ids.
        a, b: what claims call the evaluations.
        options: what explanations call the things that were not set.
        window: the steps that they are about.
        explanations, limits: in every finding that judges a difference, besides its own.
        of_runs: whether the evaluations are of training runs, whose checkpoints and seeds are sources of noise.
    """

    prefix: str = "evals"
    a: str = "a"
    b: str = "b"
    options: OptionNames = field(default_factory=OptionNames)
    window: FindingWindow | None = None
    explanations: tuple[Explanation, ...] = ()
    limits: tuple[str, ...] = ()
    of_runs: bool = False
