"""Declarations of metrics: name, meaning, unit, slices and bounds.

Every module that computes metrics has a tuple ``DECLARATIONS`` of all that it can produce.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Slices = Literal[
    "all",
    "domains",
    "facets",
    "reasons",
    "baselines",
    "baselines and domains",
    "benchmarks",
    "whole benchmarks",
    "rules",
    "copies",
    "image copies",
    "buckets of findings",
    "findings",
    "training runs",
]
"""The slices that a metric is computed for: everything, every domain, and so on."""

SLICE_EXAMPLES: dict[Slices, str] = {
    "all": "all",
    "domains": "all, or domain=<value>",
    "facets": "<facet>=<value>, such as domain=web",
    "reasons": "all, or reason=<reason>",
    "baselines": "baseline=<label>",
    "baselines and domains": "baseline=<label>, or baseline=<label>,domain=<value>",
    "benchmarks": "benchmark=<name>,rule=<rule>",
    "whole benchmarks": "benchmark=<name>",
    "rules": "rule=<rule>",
    "copies": "copy=<kind of copy>,rule=<rule>",
    "image copies": "copy=<kind of copy>,benchmark=<name>",
    "buckets of findings": "all, or bucket=<part of an investigation>, such as bucket=training",
    "findings": "finding=<id>, such as finding=now.evals.*",
    "training runs": "all, or run=<id of a training run>",
}
"""Examples of slices in the table of metrics, for people."""

SLICE_KEYS: dict[Slices, tuple[tuple[str, ...], ...]] = {
    "all": (("all",),),
    "domains": (("all",), ("domain",)),
    "reasons": (("all",), ("reason",)),
    "baselines": (("baseline",),),
    "baselines and domains": (("baseline",), ("baseline", "domain")),
    "benchmarks": (("benchmark", "rule"),),
    "whole benchmarks": (("benchmark",),),
    "rules": (("rule",),),
    "copies": (("copy",),),
    "image copies": (("copy",),),
    "buckets of findings": (("all",), ("bucket",)),
    "findings": (("finding",),),
    "training runs": (("all",), ("run",)),
}
"""The keys that a slice can have, as `schemas.spec.slices.parts` reads them; not of facets: audits name those."""


Kind = Literal["fact", "estimate", "drift", "finding", "effect"]
"""What a metric is, which decides how it is judged (`checks.policy.basis`).

``fact``: counted of every document that was read, so that it has no sampling error where the whole corpus was read.
``estimate``: extrapolated from a sample that the audit draws itself (near-duplicates, decoys, vectors of windows).
``drift``: a test whether two snapshots differ by more than chance.
``finding``: counted among the findings and files of an investigation of training runs.
``effect``: the size of such a finding, estimated from the points or items that there are.
"""


@dataclass(frozen=True, slots=True)
class MetricDeclaration:
    """A metric: its name, what it says, its unit, for which slices it is computed, its 95 % bounds, and its kind.

    ``bounds``: ``fact``, its bounds are its value, or null where a sample cannot bound it; ``interval``, it has bounds
    where the data allow them; ``none``, never.
    """

    name: str
    meaning: str
    unit: str
    slices: Slices
    bounds: Literal["fact", "interval", "none"]
    kind: Kind
