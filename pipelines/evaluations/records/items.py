"""Collects what readers of evaluation files understand: scores of items, claims, remarks and dead letters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from corpus_audit.pipelines.evaluations.records.bounded_files import ReadLimits, UnreadableFileError
from corpus_audit.pipelines.evaluations.records.trajectories import MOST_STEPS, Trajectory
from corpus_audit.pipelines.evaluations.records.values import LARGEST, number_of
from corpus_audit.schemas.tables.investigation.evaluation_tables import EVALUATION_ITEMS

_CHUNK = 1 << 16
_EXAMPLES = 1_000
_EXAMPLES_IN_ALL = 20_000
_DETAIL = 200
_COLUMNS = EVALUATION_ITEMS.names


SHARE_METRICS = ("acc", "acc_norm", "exact_match", "em", "acc_norm_nospace", "pct_stereotype")
"""Metrics with a score of 0 or 1 an item: error and number of items follow from each other."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An aggregate figure that a file states.

    Attributes:
        file: the file, relative to the evaluation.
        model, task, version, metric, filter: as in `EVALUATION_ITEMS`.
        value: the figure.
        error: its standard error; None if there is none.
        items: the number of items; None if there is none.
        parts: tasks of which it is a group's figure; empty for a task.
        mean: whether it is a mean of item scores, as far as is known; only means are recomputed.
    """

    file: str
    model: str
    task: str
    version: str | None
    metric: str
    filter: str
    value: float
    error: float | None = None
    items: int | None = None
    parts: tuple[str, ...] = ()
    mean: bool = True


@dataclass(slots=True)
class FileOutcome:
    """What became of one file; see `EVALUATION_FILES`."""

    file: str
    size: int
    format: str | None = None
    rows: int = 0
    items: int = 0
    dead_letters: int = 0
    claims: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row, or one score of it, that was not understood."""

    file: str
    row: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Something odd about a file: a stable word, and a sentence."""

    file: str
    what: str
    text: str


@dataclass(frozen=True)
class Evaluation:
    """Everything that was read of one evaluation.

    Attributes:
        name: what the user called it: the path.
        items: a table with the schema `EVALUATION_ITEMS`.
        claims: aggregate figures that files state.
        files: every file, sorted by name.
        dead_letters: examples, at most 1,000 a file and reason and 20,000 in all; `dead_counts` has all.
        dead_counts: number of dead letters by (file, reason).
        remarks: what is odd about files.
        higher_is_better: by (task, metric), where a file says so.
        cluster_field: the field that items' clusters were read from, if one was named.
        trajectories: attempts of agents.
    """

    name: str
    items: pa.Table
    claims: tuple[Claim, ...]
    files: tuple[FileOutcome, ...]
    dead_letters: tuple[DeadLetter, ...]
    dead_counts: dict[tuple[str, str], int]
    remarks: tuple[Remark, ...]
    higher_is_better: dict[tuple[str, str], bool]
    cluster_field: str | None = None
    trajectories: tuple[Trajectory, ...] = ()


@dataclass
class ItemCollector:
    """Takes scores, claims and dead letters of one evaluation from the readers, file by file.

    Every row that a reader looks at is counted by `row`, and becomes scores, claims or dead letters; every score that a
    reader sees goes to `score`, which takes it or makes it a dead letter, so that none is lost silently.

    Attributes:
        limits: bounds that readers keep.
        cluster_field: path of the field that names an item's cluster, such as ``doc.passage_id``, or None.
        versions: by (folder, task, or "" for all), what a results file says of a task's version.
        model_of: by folder, the model that a results file names.
        higher_is_better: by (task, metric).
    """

    limits: ReadLimits = field(default_factory=ReadLimits)
    cluster_field: str | None = None
    versions: dict[tuple[str, str], str] = field(default_factory=dict)
    model_of: dict[str, str] = field(default_factory=dict)
    higher_is_better: dict[tuple[str, str], bool] = field(default_factory=dict)
    _columns: list[list[Any]] = field(default_factory=lambda: [[] for _ in _COLUMNS])
    _tables: list[pa.Table] = field(default_factory=list)
    _claims: list[Claim] = field(default_factory=list)
    _files: list[FileOutcome] = field(default_factory=list)
    _dead: list[DeadLetter] = field(default_factory=list)
    _dead_counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _remarks: list[Remark] = field(default_factory=list)
    _file: FileOutcome = field(default_factory=lambda: FileOutcome("", 0))
    _trajectories: list[Trajectory] = field(default_factory=list)
    _steps: int = 0
    _without_steps: int = 0

    @contextmanager
    def reading(self, file: str, size: int) -> Iterator[FileOutcome]:
        """Read one file: what is raised by its damage becomes its reason, and what was read before it stays."""
        self._file = FileOutcome(file, size)
        self._files.append(self._file)
        try:
            yield self._file
        except UnreadableFileError as error:
            self._file.reason = str(error)

    @property
    def file(self) -> str:
        """The file that is being read."""
        return self._file.file

    def row(self) -> None:
        """Count a row, sample or member."""
        self._file.rows += 1

    def score(
        self,
        row: int,
        task: str,
        item: str,
        metric: str,
        value: Any,
        *,
        model: str = "",
        version: str | None = None,
        item_id: str | None = None,
        prompt: str | None = None,
        filter_: str = "",
        epoch: int = 1,
        seed: str | None = None,
        cluster: str | None = None,
    ) -> None:
        """Take an item's score: a number or a boolean, anything else is a dead letter."""
        if value is True or value is False:
            number = float(value)
        elif isinstance(value, int | float):
            number = float(value)
            if not -LARGEST <= number <= LARGEST:
                reason = "score too large" if math.isfinite(number) else "score not finite"
                self.dead(row, reason, f"{metric}: {value}")
                return
        else:
            self.dead(row, _reason(value), f"{metric}: {value!r:.{_DETAIL}}")
            return
        columns = self._columns
        values = (model, task, version, item, item if item_id is None else item_id, prompt, metric, filter_)
        for column, cell in zip(columns, (*values, epoch, seed, number, cluster, self._file.file, row), strict=True):
            column.append(cell)
        self._file.items += 1
        if len(columns[0]) >= _CHUNK:
            self._flush()

    def amount(self, row: int, name: str, value: Any) -> float | None:
        """What something cost, such as tokens; None, and a dead letter, if it is no number of at least 0."""
        number = number_of(value)
        if number is None or number < 0:
            why = "amount below 0" if number is not None else _reason(value).replace("score", "amount")
            self.dead(row, why, f"{name}: {value!r:.{_DETAIL}}")
            return None
        return number

    def trajectory(self, trajectory: Trajectory) -> None:
        """Take an attempt of an agent; its steps are kept up to `MOST_STEPS` in all."""
        if self._steps + len(trajectory.steps) > MOST_STEPS:
            self._without_steps += 1
            trajectory = replace(trajectory, steps=())
        self._steps += len(trajectory.steps)
        self._trajectories.append(trajectory)

    def dead(self, row: int, reason: str, detail: object = "") -> None:
        """Report a row, or one score of it, that gives no item."""
        self._file.dead_letters += 1
        self._dead_counts[self._file.file, reason] += 1
        if self._dead_counts[self._file.file, reason] <= _EXAMPLES and len(self._dead) < _EXAMPLES_IN_ALL:
            self._dead.append(DeadLetter(self._file.file, row, reason, str(detail)[:_DETAIL]))

    def claim(self, claim: Claim) -> None:
        """Take an aggregate figure that the file states."""
        self._file.claims += 1
        self._claims.append(claim)

    def remark(self, what: str, text: str) -> None:
        """Report something odd about the file."""
        self._remarks.append(Remark(self._file.file, what, text))

    def finish(self, name: str) -> Evaluation:
        """Everything that was taken."""
        self._flush()
        if self._without_steps:
            text = f"{self._without_steps:,} trajectories beyond {MOST_STEPS:,} steps: their steps are not compared"
            self._remarks.append(Remark("", "trajectories without steps", text))
        tables = self._tables or [EVALUATION_ITEMS.empty_table()]
        return Evaluation(
            name=name,
            items=pa.concat_tables(tables).unify_dictionaries().combine_chunks(),
            claims=tuple(self._claims),
            files=tuple(sorted(self._files, key=lambda outcome: outcome.file)),
            dead_letters=tuple(self._dead),
            dead_counts=dict(self._dead_counts),
            remarks=tuple(self._remarks),
            higher_is_better=dict(self.higher_is_better),
            cluster_field=self.cluster_field,
            trajectories=tuple(self._trajectories),
        )

    def _flush(self) -> None:
        if not self._columns[0]:
            return
        arrays = []
        for values, column in zip(self._columns, EVALUATION_ITEMS, strict=True):
            if pa.types.is_dictionary(column.type):
                arrays.append(pa.array(values, pa.string()).dictionary_encode())
            else:
                arrays.append(pa.array(values, column.type))
        self._tables.append(pa.table(arrays, schema=EVALUATION_ITEMS))
        self._columns = [[] for _ in _COLUMNS]


def _reason(value: Any) -> str:
    if value is None:
        return "score missing"
    if isinstance(value, str):
        return "score is text"
    if isinstance(value, int | float):
        return "score not finite"
    return "score is a list or object"
