"""Arrow schemas of an investigation's tables of telemetry; `pipelines/telemetry/README.md` has the terms."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

_RUN = field("run", pa.string(), "id of the training run")
_FILE = field("file", pa.string(), "path of the file")
_WORD = pa.dictionary(pa.int32(), pa.string())

TELEMETRY_FILES = pa.schema(
    [
        _RUN,
        _FILE,
        field("format", pa.string(), "recognised format; null if the file was not read", nullable=True),
        field("not_read", pa.string(), "why the file was not read", nullable=True),
        field("entries", pa.int64(), "records, lines or rows: used + other + refused", "entries"),
        field("used", pa.int64(), "entries with values", "entries"),
        field("other", pa.int64(), "entries that hold no telemetry by their nature", "entries"),
        field("refused", pa.int64(), "entries that could not be read", "entries"),
        field("values", pa.int64(), "values: used + refused", "values"),
        field("values_refused", pa.int64(), "values that could not be read", "values"),
        field("notes", pa.string(), "what else the reader says"),
    ],
    metadata={"title": "Files of telemetry and what became of their entries", "order": "run, order of segments"},
)

TELEMETRY_DEAD_LETTERS = pa.schema(
    [
        _RUN,
        _FILE,
        field("offset", pa.int64(), "of the entry, in bytes or rows"),
        field("reason", pa.string(), "why it was refused"),
        field("detail", pa.string(), "what was there, cut to 200 characters"),
    ],
    metadata={"title": "Entries and values that were refused, up to 1,000 a file", "order": "run, file, offset"},
)

TELEMETRY_SERIES = pa.schema(
    [
        _RUN,
        field("series", pa.int32(), "number of the series, as in the table of points"),
        field("tag", pa.string(), "name in the files"),
        field("quantity", pa.string(), "canonical name, if it is known", nullable=True),
        field("certainty", pa.string(), "how sure that is: documented, or by name", nullable=True),
        field("unit", pa.string(), "unit after scaling", nullable=True),
        field("scale", pa.float64(), "values times this are in the unit"),
        field("main", pa.bool_(), "whether it is the series of its quantity that is analysed"),
        field("points", pa.int64(), "points", "points"),
        field("superseded", pa.int64(), "points that a resume or a later row replaced", "points"),
        field("equal", pa.int64(), "superseded points whose replacement has the same value", "points"),
        field("not_finite", pa.int64(), "points that are NaN or infinite", "points"),
        field("segments", pa.int32(), "segments", "segments"),
        field("ordered", pa.bool_(), "whether the step goes back as rarely as resumes do"),
        field("first_step", pa.int64(), "smallest step", "steps"),
        field("last_step", pa.int64(), "largest step", "steps"),
    ],
    metadata={"title": "Series of every training run", "order": "run, series"},
)

TELEMETRY_POINTS = pa.schema(
    [
        field("run", _WORD, "id of the training run"),
        field("series", pa.int32(), "number of the series"),
        field("segment", pa.int32(), "segment, from 0"),
        field("superseded", pa.bool_(), "whether a resume or a later row replaced it"),
        field("step", pa.int64(), "step", "steps"),
        field("value", pa.float64(), "value as logged"),
        field("wall_time", pa.float64(), "seconds since 1970; NaN where none is logged", "s"),
        field("file", _WORD, "path of the file"),
        field("offset", pa.int64(), "of the entry, in bytes or rows"),
    ],
    metadata={"title": "Points of every series", "order": "run, series, order of segments"},
)

TELEMETRY_SPIKES = pa.schema(
    [
        _RUN,
        field("first_step", pa.int64(), "first step above the threshold", "steps"),
        field("step", pa.int64(), "step of the peak", "steps"),
        field("last_step", pa.int64(), "last step above the threshold", "steps"),
        field("z", pa.float64(), "robust score at the peak", "standard deviations"),
        field("rise", pa.float64(), "loss minus local median at the peak", "nats"),
        field("kind", pa.string(), "batch outlier, instability or undetermined"),
        field("precursor_z", pa.float64(), "largest score of the gradient norm before", "standard deviations", True),
        field("twin", pa.string(), "id of the twin", nullable=True),
        field("in_twin", pa.string(), "present, absent, unclear or not logged", nullable=True),
        field("twin_z", pa.float64(), "score of the twin at the step", "standard deviations", True),
    ],
    metadata={"title": "Spikes of the loss", "order": "run, step"},
)

TELEMETRY_SHIFTS = pa.schema(
    [
        _RUN,
        field("quantity", pa.string(), "what was tested"),
        field("first_step", pa.int64(), "first step of the window", "steps"),
        field("last_step", pa.int64(), "last step of the window", "steps"),
        field("step", pa.int64(), "first step after the most likely shift", "steps"),
        field("size", pa.float64(), "shift; for step time and throughput a ratio"),
        field("low", pa.float64(), "lower 95 % bound"),
        field("high", pa.float64(), "upper 95 % bound"),
        field("p", pa.float64(), "of no shift in the window", "probability"),
        field("q", pa.float64(), "Benjamini-Hochberg over all windows of the quantity", "probability"),
        field("n", pa.int64(), "points or blocks of points tested", "points"),
    ],
    metadata={"title": "Level shifts that were tested, and changes of speed", "order": "run, quantity, step"},
)

TELEMETRY_TWINS = pa.schema(
    [
        _RUN,
        field("twin", pa.string(), "id of the twin"),
        field("steps", pa.int64(), "common steps used", "steps"),
        field("left_out", pa.int64(), "common steps with a spike or without a number", "steps"),
        field("correlation", pa.float64(), "of the deviations from the local medians"),
        field("low", pa.float64(), "lower 95 % bound"),
        field("high", pa.float64(), "upper 95 % bound"),
        field("slope", pa.float64(), "of the twin's deviations on those of the run"),
    ],
    metadata={"title": "Runs that should have the same order of the data", "order": "run"},
)

TELEMETRY_TABLES = {
    "telemetry_files": TELEMETRY_FILES,
    "telemetry_dead_letters": TELEMETRY_DEAD_LETTERS,
    "telemetry_series": TELEMETRY_SERIES,
    "telemetry_points": TELEMETRY_POINTS,
    "telemetry_spikes": TELEMETRY_SPIKES,
    "telemetry_shifts": TELEMETRY_SHIFTS,
    "telemetry_twins": TELEMETRY_TWINS,
}
"""Name of every table -> its schema."""
