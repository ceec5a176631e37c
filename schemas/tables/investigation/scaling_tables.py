"""Arrow schemas of an investigation's tables of a scaling law: the runs, and the constants that were fitted to them."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

SCALING_RUNS = pa.schema(
    [
        field("run", pa.string(), "the run, as the file of runs names it"),
        field("role", pa.string(), "fitted, or holdout: the run that is asked about"),
        field("parameters", pa.float64(), "parameters of the model", "parameters"),
        field("tokens", pa.float64(), "tokens that it was trained on", "tokens"),
        field("loss", pa.float64(), "its loss", "nats/token"),
        field("expected", pa.float64(), "what the law of the fitted runs expects", "nats/token", nullable=True),
        field("deviation", pa.float64(), "ln loss less what the law without this run expects", nullable=True),
    ],
    metadata={"title": "Runs of the scaling law", "order": "as in the file"},
)

SCALING_LAW = pa.schema(
    [
        field("constant", pa.string(), "of L = E + A / N^alpha + B / D^beta, or an optimum for the holdout's compute"),
        field("value", pa.float64(), "the fit to all runs but the holdout", nullable=True),
        field("low", pa.float64(), "lower 95 % bound, bootstrap over runs", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", nullable=True),
    ],
    metadata={"title": "Constants of the scaling law", "order": "A, B, E, alpha, beta, optima"},
)

SCALING_TABLES = {"scaling_runs": SCALING_RUNS, "scaling_law": SCALING_LAW}
"""File name (without .parquet) of every table, and its schema."""
