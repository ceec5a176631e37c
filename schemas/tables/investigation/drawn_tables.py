"""Arrow schemas of an investigation's tables of drawn documents: windows before spikes, their domains and documents."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

_RUN = field("run", pa.string(), "id of the training run")
_STEP = field("step", pa.int64(), "step of the run at which the spike peaks", "steps")

DRAWN_WINDOWS = pa.schema(
    [
        _RUN,
        _STEP,
        field("first_step", pa.int64(), "first step of the run in the window", "steps"),
        field("last_step", pa.int64(), "last step of the run in the window", "steps"),
        field("offset", pa.int64(), "step of the run minus step of the log, as used", "steps"),
        field("documents", pa.int64(), "documents drawn, repeats included", "documents"),
        field("tokens", pa.int64(), "tokens drawn", "tokens"),
        field("controls", pa.int64(), "control windows", "windows"),
        field("p_domains", pa.float64(), "of the largest deviation of a domain's share", "probability", True),
        field("p_repeats", pa.float64(), "of the share of repeated draws", "probability", True),
        field("p_excess", pa.float64(), "of the excess loss", "probability", True),
        field("p", pa.float64(), "of the smallest of these; null without controls", "probability", True),
        field("q", pa.float64(), "Benjamini-Hochberg over the windows", "probability", True),
        field("repeated", pa.float64(), "share of draws of documents drawn before in the window", nullable=True),
        field("control_repeated", pa.float64(), "mean share in the control windows", nullable=True),
        field("excess", pa.float64(), "excess loss beyond that of the controls", "nats per token", True),
        field("excess_high", pa.float64(), "upper 95 % bound", "nats per token", True),
        field("step_excess", pa.float64(), "largest excess loss of a step of the window", "nats per token", True),
        field("step_excess_high", pa.float64(), "upper 95 % bound", "nats per token", True),
    ],
    metadata={"title": "Windows of steps before spikes, against control windows", "order": "run, step"},
)

DRAWN_DOMAINS = pa.schema(
    [
        _RUN,
        _STEP,
        field("domain", pa.string(), "domain"),
        field("documents", pa.int64(), "documents drawn in the window", "documents"),
        field("share", pa.float64(), "share of the documents of the window"),
        field("control_share", pa.float64(), "mean share in the control windows", nullable=True),
        field("z", pa.float64(), "deviation from the mean of all windows", "standard deviations"),
    ],
    metadata={"title": "Domains drawn in these windows", "order": "run, step, largest deviation first"},
)

DRAWN_DOCUMENTS = pa.schema(
    [
        _RUN,
        _STEP,
        field("rank", pa.int64(), "by excess loss, or by draws where the log has no loss"),
        field("document", pa.string(), "id of the document"),
        field("domain", pa.string(), "its domain", nullable=True),
        field("draws", pa.int64(), "draws in the window", "draws"),
        field("tokens", pa.int64(), "tokens drawn in the window", "tokens"),
        field("excess", pa.float64(), "sum of tokens * (loss - expected)", "nats", True),
        field("excess_per_token", pa.float64(), "the same by token", "nats per token", True),
    ],
    metadata={"title": "Documents drawn in these windows, up to 100 each", "order": "run, step, rank"},
)

DRAWN_TABLES = {"drawn_windows": DRAWN_WINDOWS, "drawn_domains": DRAWN_DOMAINS, "drawn_documents": DRAWN_DOCUMENTS}
"""Name of every table -> its schema."""
