"""Say on standard error how far a run has come: a live line on a terminal, one line a minute elsewhere."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from corpus_audit.pipelines.progress.board import ActiveShard, Board, BoardState

if TYPE_CHECKING:
    from rich.console import RenderableType

LINE_EVERY = 60.0
"""Seconds between two lines where standard error is not a terminal."""

REFRESH_EVERY = 0.25

SLOW_AFTER = 30.0
"""Seconds after which the shard that has been in work for longest is named."""


def format_bytes(count: float) -> str:
    """Bytes in decimal units with about three digits: ``1.24 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB" if count < 999.5 else f"{count:,.0f} TB"


def format_seconds(seconds: float) -> str:
    """A duration of two units at most: ``41 s``, ``2 min 5 s``, ``3 h 20 min``."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    return f"{rounded // 3600:,} h {rounded % 3600 // 60} min"


def slow_shard(state: BoardState) -> ActiveShard | None:
    """The shard that has been in work for longest, once that is `SLOW_AFTER` seconds."""
    return state.active[0] if state.active and state.active[0].seconds >= SLOW_AFTER else None


def _pace(state: BoardState) -> list[str]:
    parts = []
    if state.bytes_total:
        parts.append(f"{format_bytes(state.bytes_done)} of {format_bytes(state.bytes_total)}")
    if state.rate > 0:
        parts.append(f"{format_bytes(state.rate)}/s")
    if state.seconds_left is not None:
        parts.append(f"{format_seconds(state.seconds_left)} left")
    if state.rate <= 0:
        parts.append(format_seconds(state.seconds))
    return [*parts, "compiling kernels, once on this machine"] if state.compiling else parts


def _counts(state: BoardState) -> list[str]:
    parts = []
    if state.splits_total:
        parts.append(f"{state.splits_done:,} of {state.splits_total:,} splits")
    if state.documents or state.dead_letters:
        parts += [f"{state.documents:,} documents", f"{state.dead_letters:,} dead letters"]
    return parts


def _printable(name: str) -> str:
    """A shard's name with everything that could steer a terminal replaced."""
    return "".join(character if character.isprintable() else "?" for character in name)


def progress_line(state: BoardState) -> str:
    """The state as one line of text without control characters, for logs."""
    share = f" {state.share:.0%}" if state.share is not None else ""
    line = f"{state.stage}{share}: " + ", ".join(_pace(state) + _counts(state))
    slow = slow_shard(state)
    return line if slow is None else f"{line}; longest in work: {_printable(slow.name)}, {format_seconds(slow.seconds)}"


def render_live(state: BoardState) -> RenderableType:
    """The state for a terminal, up to three lines: a bar with its pace, what was counted, the slow shard."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = ProgressBar(total=100.0 if state.share is not None else None, completed=100 * (state.share or 0), width=16)
    share = [f"{state.share:.0%}"] if state.share is not None else []
    row = Table.grid(padding=(0, 1))
    row.add_column(no_wrap=True)
    row.add_column(width=16)
    row.add_column(no_wrap=True, overflow="ellipsis")
    row.add_row(state.stage, bar, Text(", ".join(share + _pace(state))))
    below = [", ".join(_counts(state))]
    slow = slow_shard(state)
    if slow is not None:
        below.append(f"longest in work: {_printable(slow.name)}, {format_seconds(slow.seconds)}")
    lines = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in below if line]
    return Group(row, *lines)


class ProgressReporter:
    """Reports a board on ``stream`` from a thread of its own while it is entered; a context manager.

    Args:
        board: what to report.
        stream: standard error; None where it is closed.
        quiet: report nothing.
        line_every: seconds between two lines where the stream is not a terminal; shorter in tests.
    """

    def __init__(
        self, board: Board, stream: TextIO | None, quiet: bool = False, line_every: float = LINE_EVERY
    ) -> None:
        self._board = board
        self._stream = stream
        self._line_every = line_every
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        if not quiet and stream is not None and not stream.closed:
            live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
            target = self._report_live if live else self._report_lines
            self._thread = threading.Thread(target=target, name="progress", daemon=True)

    def __enter__(self) -> ProgressReporter:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the report and clear its line, within two seconds; from any thread, any number of times."""
        self._stopped.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _report_lines(self) -> None:
        assert self._stream is not None
        while not self._stopped.wait(self._line_every):
            with suppress(Exception):  # what is only shown must not end a run, whatever is wrong with it
                self._stream.write(progress_line(self._board.state()) + "\n")
                self._stream.flush()

    def _report_live(self) -> None:
        from rich.console import Console
        from rich.live import Live

        assert self._stream is not None
        with suppress(Exception):
            console = Console(file=self._stream)
            first = render_live(self._board.state())
            with Live(first, console=console, transient=True, auto_refresh=False, redirect_stdout=False) as live:
                while not self._stopped.wait(REFRESH_EVERY):
                    live.update(render_live(self._board.state()), refresh=True)
