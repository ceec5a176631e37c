"""Loss by shard: name every shard that gave no document or lost a large part of its rows or bytes.

A share of all rows hides them: a shard that is one JSON array on one line is one dead letter, however large it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from corpus_audit.checks.text.numbers import plural
from corpus_audit.pipelines.measures.coverage import ShardCoverage
from corpus_audit.pipelines.reading.files.diagnosis import describe_content
from corpus_audit.pipelines.reading.files.signatures import BOM
from corpus_audit.runners.audit.counting.shard_states import ShardState
from corpus_audit.schemas.run.dead_letters import DEAD_LETTER_HINTS
from corpus_audit.schemas.run.run_file import IntegrityRule
from corpus_audit.schemas.run.snapshot import ShardFormat, ShardStatus
from corpus_audit.schemas.spec.audit import LimitsSpec

_NAMED = 3
_EXAMINED = 200
"""Shards whose content is looked at for a diagnosis; of more, only the reasons of their dead letters are said."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Dead letters of rows that were read.

    Attributes:
        dead, rows: dead letters, and all rows; bytes in ``dead_bytes`` and ``row_bytes``.
    """

    dead: int
    rows: int
    dead_bytes: int
    row_bytes: int

    @classmethod
    def of(cls, coverage: ShardCoverage) -> Loss:
        """A shard's."""
        return cls(sum(coverage.dead.values()), coverage.rows, sum(coverage.dead_bytes.values()), coverage.row_bytes)

    @property
    def rows_share(self) -> float:
        """Dead letters of all rows, in [0, 1]."""
        return self.dead / self.rows if self.rows else 0.0

    @property
    def bytes_share(self) -> float:
        """The dead letters' bytes of all bytes, in [0, 1]."""
        return self.dead_bytes / self.row_bytes if self.row_bytes else 0.0

    @property
    def share(self) -> float:
        """The larger of both shares."""
        return max(self.rows_share, self.bytes_share)

    def __str__(self) -> str:
        return (
            f"{self.dead:,} of {self.rows:,} rows ({self.rows_share:.3%}), "
            f"{self.dead_bytes:,} of {self.row_bytes:,} bytes ({self.bytes_share:.3%})"
        )


def refuse_shards_without_documents(states: Sequence[ShardState]) -> None:
    """Make an error of every shard all of whose rows are dead letters; it says what the shard is.

    A shard without rows is no loss, and one whose other rows were filtered is bounded by `shard_loss_rule`.
    """
    examined = 0
    for state in states:
        coverage = state.coverage
        if state.error is not None or coverage is None or coverage.documents or not coverage.dead or coverage.filtered:
            continue
        text = f"not one document could be read from it: {_reasons(coverage)}"
        if examined < _EXAMINED and (content := describe_content(state.shard)):
            text += f"; it {content}"
        examined += 1
        state.status, state.error = ShardStatus.ERROR, text


def shards_without_rows(states: Sequence[ShardState]) -> str:
    """How many shards were read whole and hold no row, the first by name and why; empty where there is none."""
    empty = [
        state
        for state in states
        if state.error is None
        and state.coverage
        and not state.coverage.rows
        and len(state.planned.sampled) == len(state.planned.plan.splits)
    ]
    if not empty:
        return ""
    first = empty[0].shard
    if first.size == 0:
        why = "0 bytes"
    elif first.format in (ShardFormat.PARQUET, ShardFormat.ARROW):
        why = f"a {first.format} file of 0 rows"
    elif first.format is ShardFormat.JSONL and first.size == len(BOM):
        why = "only a byte-order mark"
    else:
        why = "only blank lines" if first.format is ShardFormat.JSONL else "no line that is not blank"
    have = "has" if len(empty) == 1 else "have"
    return f"{plural(len(empty), 'shard')} {have} no rows; the first is {first.name}: {why}"


def shard_limit(limits: LimitsSpec) -> float:
    """The share of a shard's rows or bytes that may be dead letters: never less than of the whole corpus."""
    return max(limits.shard_dead_letter_share, limits.dead_letter_share)


def shard_loss_rule(limits: LimitsSpec, states: Sequence[ShardState]) -> IntegrityRule:
    """The integrity rule that no shard lost a large part of its rows or bytes.

    Shards that are errors already are left to the rule of coverage.
    """
    limit = shard_limit(limits)
    losses = [(Loss.of(state.coverage), state) for state in states if state.error is None and state.coverage]
    worst = sorted(losses, key=lambda pair: (-pair[0].share, pair[1].shard.name))
    over = [(loss, state) for loss, state in worst if loss.share > limit]
    named = "; ".join(
        f"{state.shard.name}: {loss}: {_reasons(state.coverage)}" for loss, state in over[:_NAMED] if state.coverage
    )
    more = f"; and {len(over) - _NAMED} more" if len(over) > _NAMED else ""
    highest = worst[0][0].share if worst else 0.0
    return IntegrityRule.of(
        "shard_loss",
        not over,
        f"{len(over)} of {plural(len(states), 'shard')} lost more than {limit:.1%} of their rows or bytes to dead "
        f"letters: {named}{more}",
        f"no shard lost more than {highest:.3%} of its rows or bytes, the limit is {limit:.1%}",
    )


def hints(reasons: Sequence[str]) -> str:
    """Advice on dead letters by reason, as the end of a sentence; empty if there is none."""
    return "".join(f"; {reason}: {DEAD_LETTER_HINTS[reason]}" for reason in reasons if reason in DEAD_LETTER_HINTS)


def _reasons(coverage: ShardCoverage) -> str:
    ordered = sorted(coverage.dead.items(), key=lambda item: (-item[1], item[0]))
    counts = ", ".join(f"{rows:,} {reason} ({coverage.dead_bytes.get(reason, 0):,} bytes)" for reason, rows in ordered)
    return counts + hints([reason for reason, _ in ordered])


def nothing_counted(states: list[ShardState]) -> str:
    """The message that the corpus has no document, with the reasons."""
    errors = [f"{state.shard.name}: {state.error}" for state in states if state.error]
    dropped: Counter[str] = Counter()
    for state in states:
        if state.coverage:
            dropped.update(state.coverage.dead)
            dropped.update({f"filter {name}": n for name, n in state.coverage.filtered.items()})
    parts = [f"the corpus has no document to count ({plural(len(states), 'shard')})"]
    if errors:
        parts.append(f"{len(errors)} could not be read; {errors[0]}")
    if empty := shards_without_rows(states):
        parts.append(empty)
    if dropped:
        parts.append("rows were dropped: " + ", ".join(f"{n} {reason}" for reason, n in dropped.most_common()))
    return "; ".join(parts)
