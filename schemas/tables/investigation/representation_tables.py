"""Arrow schemas of an investigation's tables about the inside of a model: layers of experts, and units."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

_RUN = field("run", pa.string(), "id of the training run")

EXPERT_LAYERS = pa.schema(
    [
        _RUN,
        field("series", pa.string(), "tags of the series, the expert's number as *"),
        field("layer", pa.int64(), "number of the layer", nullable=True),
        field("experts", pa.int64(), "experts; 0 for a measure that was logged", "experts"),
        field("points", pa.int64(), "steps at which all of them were logged", "steps"),
        field("left_out", pa.int64(), "steps at which some were not, or were not finite", "steps"),
        field("violation", pa.float64(), "largest load over the mean - 1, median of the last tenth", nullable=True),
        field("violation_first", pa.float64(), "the same of the first tenth", nullable=True),
        field("variation", pa.float64(), "coefficient of variation, median of the last tenth", nullable=True),
        field("entropy", pa.float64(), "over that of equal loads, median of the last tenth", nullable=True),
        field("dead", pa.int64(), "experts without a token in the last tenth", "experts", nullable=True),
        field("explained", pa.float64(), "variance that goes with the mixture drawn", "share", nullable=True),
        field("explained_p", pa.float64(), "p of it", "probability", nullable=True),
        field("explained_q", pa.float64(), "Benjamini-Hochberg over the layers", "probability", nullable=True),
    ],
    metadata={"title": "Balance of experts by layer", "order": "run, layer, series"},
)

EXPERT_SHIFTS = pa.schema(
    [
        _RUN,
        field("series", pa.string(), "tags of the series, the expert's number as *"),
        field("layer", pa.int64(), "number of the layer", nullable=True),
        field("first_step", pa.int64(), "first step of the window", "steps"),
        field("last_step", pa.int64(), "last step of the window", "steps"),
        field("step", pa.int64(), "first step after the most likely shift", "steps"),
        field("size", pa.float64(), "of the shift of the violation, or of the measure"),
        field("low", pa.float64(), "lower 95 % bound"),
        field("high", pa.float64(), "upper 95 % bound"),
        field("p", pa.float64(), "of no shift", "probability"),
        field("q", pa.float64(), "Benjamini-Hochberg over all layers and windows", "probability"),
        field("mixture", pa.float64(), "shift that the change of the mixture lets expect", nullable=True),
        field("mixture_low", pa.float64(), "lower 95 % bound", nullable=True),
        field("mixture_high", pa.float64(), "upper 95 % bound", nullable=True),
    ],
    metadata={"title": "Level shifts of the balance of experts", "order": "run, layer, series, step"},
)

EXPERT_TABLES = {"expert_layers": EXPERT_LAYERS, "expert_shifts": EXPERT_SHIFTS}
"""File name (without .parquet) of every table, and its schema."""

UNITS = pa.schema(
    [
        field("unit", pa.string(), "address of the unit"),
        field("dead", pa.bool_(), "whether it fires on no token of the index"),
        field("first", pa.float64(), "mean activation in the earlier index", nullable=True),
        field("second", pa.float64(), "mean activation in the index", nullable=True),
        field("low", pa.float64(), "lower 95 % bound of second - first", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", nullable=True),
        field("deviation", pa.float64(), "standard deviation of the activation over tokens", nullable=True),
        field("within", pa.float64(), "change at the later shares of domains", nullable=True),
        field("q", pa.float64(), "Benjamini-Hochberg over the units", nullable=True),
    ],
    metadata={"title": "Units that are dead, or that moved", "order": "as in the index"},
)

DRAWN_UNITS = pa.schema(
    [
        field("step", pa.int64(), "step of the run at which the spike peaks", "steps"),
        field("first_step", pa.int64(), "first step of the window", "steps"),
        field("unit", pa.string(), "address of the unit"),
        field("documents", pa.int64(), "documents of its strongest examples drawn in the window", "documents"),
        field("examples", pa.int64(), "documents of its strongest examples that have an id", "documents"),
        field("expected", pa.float64(), "drawn in a control window on average", "documents"),
        field("p", pa.float64(), "adjusted for all units", "probability"),
    ],
    metadata={"title": "Units with examples that were drawn before a spike", "order": "step, as in the index"},
)

EXPERT_DOMAINS = pa.schema(
    [
        field("expert", pa.string(), "address of the expert"),
        field("domain", pa.string(), "domain"),
        field("load", pa.float64(), "share of the domain's tokens that are sent to it", nullable=True),
        field("elsewhere", pa.float64(), "share of all other tokens", nullable=True),
        field("difference", pa.float64(), "load - elsewhere", nullable=True),
        field("low", pa.float64(), "lower 95 % bound, documents as clusters", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", nullable=True),
        field("q", pa.float64(), "Benjamini-Hochberg over experts and domains", nullable=True),
    ],
    metadata={"title": "Loads of experts by domain", "order": "domain, expert"},
)

UNIT_TABLES = {"units": UNITS, "drawn_units": DRAWN_UNITS, "expert_domains": EXPERT_DOMAINS}
"""File name (without .parquet) of every table of units, and its schema."""
