"""Resumes, repeated steps and steps without order; which quantity a tag is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.telemetry.canonical import Certainty, canonical
from corpus_audit.pipelines.telemetry.points import Account, Collector, FileTelemetry
from corpus_audit.pipelines.telemetry.recognition import files_of
from corpus_audit.pipelines.telemetry.segments import Series, is_summed, join, main_series


def file(name: str, rows: list[tuple[int, float]], tag: str = "loss", wall: float = float("nan")) -> FileTelemetry:
    account = Account()
    collector = Collector(account)
    for position, (step, value) in enumerate(rows):
        collector.add(tag, step, value, wall, position)
    return FileTelemetry(Path(name), "jsonl", "row", (collector.finish(),), account)


def only(series: tuple[Series, ...]) -> Series:
    (one,) = series
    return one


def test_a_resume_replaces_what_came_after_its_checkpoint() -> None:
    rows = [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (2, 2.5), (3, 3.0)]
    series = only(join([file("a", rows)]).series)
    assert series.segment.tolist() == [0, 0, 0, 0, 1, 1]
    assert series.superseded.tolist() == [False, True, True, True, False, False]
    assert series.equal == 1 and series.step[series.rows].tolist() == [1, 2, 3]
    assert series.scaled.tolist() == [1.0, 2.5, 3.0]


def test_files_follow_by_time_or_by_name() -> None:
    late, early = file("a", [(5, 1.0)], wall=9.0), file("b", [(1, 2.0)], wall=3.0)
    assert only(join([late, early]).series).step.tolist() == [1, 5]
    tenth, second = file("log10", [(5, 1.0)]), file("log2", [(1, 2.0)])
    assert only(join([tenth, second]).series).step.tolist() == [1, 5]


def test_repeated_steps_of_several_ranks_are_no_segments() -> None:
    series = only(join([file("a", [(1, 1.0), (1, 1.0), (2, 2.0), (2, 2.0)])]).series)
    assert series.segment.tolist() == [0] * 4 and series.superseded.tolist() == [True, False] * 2 and series.equal == 2


def test_steps_without_order_are_sorted() -> None:
    steps = np.random.default_rng(0).permutation(400)
    series = only(join([file("a", [(int(step), float(step)) for step in steps] + [(7, -1.0)])]).series)
    assert not series.ordered and series.superseded.sum() == 1
    assert series.scaled.tolist() == [-1.0 if step == 7 else float(step) for step in range(400)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 12), max_size=30))
def test_every_step_that_was_not_abandoned_counts_once(steps: list[int]) -> None:
    """The oracle keeps a list of rows and cuts it at every step back."""
    kept: list[tuple[int, float]] = []
    for position, step in enumerate(steps):
        kept = [row for row in kept if row[0] < step]
        kept.append((step, float(position)))
    run = join([file("a", [(step, float(position)) for position, step in enumerate(steps)])])
    series = run.series[0] if run.series else None
    kept_values = list(zip(series.step[series.rows].tolist(), series.scaled.tolist(), strict=True)) if series else []
    assert kept_values == kept


@pytest.mark.parametrize(
    ("kind", "tag", "quantity"),
    [
        ("megatron", "lm loss", "loss"),
        ("tensorboard", "lm loss", "loss"),
        ("tensorboard", "lm loss vs samples", None),
        ("tensorboard", "train/grad_norm", "gradient_norm"),
        ("csv", "run 1 - train/loss", "loss"),
        ("jsonl", "eval/loss", "validation_loss"),
        ("jsonl", "moe/aux_loss", "load_balancing_loss"),
        ("tensorboard", "loss-scale", "loss_scale"),
        ("jsonl", "tokens_per_sec", "throughput"),
        ("jsonl", "loss/wikipedia", None),
        ("jsonl", "\x1b[31m<script>loss", None),
    ],
)
def test_quantities(kind: str, tag: str, quantity: str | None) -> None:
    mapped = canonical(kind, tag)
    assert (mapped.quantity if mapped else None) == quantity
    if mapped:
        assert (mapped.certainty is Certainty.DOCUMENTED) == (kind == "megatron")


def test_the_series_of_a_quantity_is_the_documented_one_or_the_longest() -> None:
    run = join([file("a", [(1, 1.0)], "train_loss"), file("b", [(1, 1.0), (2, 1.0)], "loss")])
    assert main_series(run)["loss"].tag == "loss"
    assert is_summed(only(join([file("a", [(1, 810.0), (2, 1173.0)])]).series))
    assert not is_summed(only(join([file("a", [(1, 11.0), (2, float("nan"))])]).series))


def test_files_of_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("a/1.out", "a/2.out", "b.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = [
        (path.relative_to(tmp_path).as_posix(), run) for path, run in files_of(tmp_path, ["a", "*/1.out", "b.db#x"])
    ]
    assert listed == [("a/1.out", ""), ("a/2.out", ""), ("b.db", "x")]
    with pytest.raises(FileNotFoundError):
        list(files_of(tmp_path, ["c/*.out"]))
