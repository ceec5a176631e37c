import io
import os
import pty
import time
from contextlib import suppress

import pytest
from rich.console import Console

from corpus_audit.pipelines.progress.board import ActiveShard, Board, BoardState
from corpus_audit.runners.process.progress import (
    ProgressReporter,
    format_bytes,
    format_seconds,
    progress_line,
    render_live,
)

STATE = BoardState(
    stage="reading",
    seconds=65.0,
    bytes_done=1_200_000_000,
    bytes_total=2_800_000_000,
    splits_done=20,
    splits_total=44,
    documents=1_234_567,
    dead_letters=3,
    active=(ActiveShard("data/en/part-00012.parquet", 41.0), ActiveShard("b.parquet", 2.0)),
    rate=88_000_000.0,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1_240_000_000, "1.24 GB"),
        (88_000_000, "88 MB"),
        (999_600, "1 MB"),
        (120_400_000, "120 MB"),
        (10**13, "10 TB"),
        (5 * 10**15, "5,000 TB"),
    ],
)
def test_format_bytes(count, text):
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (12_000, "3 h 20 min")],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def test_line_says_what_is_done_how_fast_and_what_is_slow():
    assert progress_line(STATE) == (
        "reading 43%: 1.2 GB of 2.8 GB, 88 MB/s, 18 s left, 20 of 44 splits, 1,234,567 documents, 3 dead letters; "
        "longest in work: data/en/part-00012.parquet, 41 s"
    )


def test_line_of_a_stage_without_bytes():
    state = BoardState("starting", 12.0, 0, 0, 0, 0, 0, 0, (), 0.0)
    assert progress_line(state) == "starting: 12 s"


def test_a_shard_name_cannot_steer_the_terminal():
    state = BoardState("reading", 99.0, 1, 2, 0, 1, 1, 0, (ActiveShard("a\x1b[2J\nb", 50.0),), 1.0)
    line = progress_line(state)
    assert line.isprintable() and "a?[2J?b" in line
    assert "\x1b[2J" not in _rendered(state, 80)


def _rendered(state, width):
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, width=width, no_color=True).print(render_live(state))
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_live_lines_fit_the_terminal(width):
    lines = _rendered(STATE, width).splitlines()
    assert len(lines) == 3
    assert "43%" in lines[0] and "20 of 44 splits" in lines[1] and "longest in work" in lines[2]


def test_eighty_columns_hold_everything():
    assert "18 s left" in _rendered(STATE, 80) and "3 dead letters" in _rendered(STATE, 80)


def _wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_lines_are_written_to_a_pipe_and_end_with_the_run():
    stream = io.StringIO()
    board = Board()
    board.begin_stage("reading", total_bytes=100)
    with ProgressReporter(board, stream, line_every=0.01):
        _wait_for(lambda: stream.getvalue().count("reading 0%") >= 2)
    written = stream.getvalue()
    time.sleep(0.05)
    assert stream.getvalue() == written
    assert "\x1b" not in written


def test_quiet_writes_nothing():
    stream = io.StringIO()
    with ProgressReporter(Board(), stream, quiet=True, line_every=0.001):
        time.sleep(0.05)
    assert stream.getvalue() == ""


def test_a_closed_stream_does_not_end_the_run():
    stream = io.StringIO()
    with ProgressReporter(Board(), stream, line_every=0.001):
        stream.close()
        time.sleep(0.05)


def test_a_terminal_gets_a_live_line_that_is_cleared(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    main_end, terminal_end = pty.openpty()
    os.set_blocking(main_end, False)
    shown = b""

    def seen(text):
        nonlocal shown
        with suppress(BlockingIOError):
            shown += os.read(main_end, 65536)
        return text in shown

    board = Board()
    board.begin_stage("reading", total_bytes=100, splits=1)
    board.advance(bytes=50, documents=7)
    with os.fdopen(terminal_end, "w") as stream:
        with ProgressReporter(board, stream):
            _wait_for(lambda: seen(b"7 documents"))
        _wait_for(lambda: seen(b"\x1b[?25h"))  # the cursor is shown again
    os.close(main_end)
    assert b"\x1b[?25l" in shown
    assert b"\x1b[3" not in shown, "no colours with NO_COLOR"
