"""End a run within seconds after Ctrl-C or SIGTERM, whatever its threads are doing."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType, TracebackType

from corpus_audit.pipelines.progress.board import Board

GRACE = 5.0
"""Seconds a run has to unwind after the first signal."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A context manager that turns the first SIGINT or SIGTERM into `KeyboardInterrupt` in the main thread.

    The engine joins its worker threads before it lets an exception through, and a worker may be deep in native code.
    So a signal also cancels the board, which stops the workers at their next batch, and a watching thread calls
    ``leave(signum)`` when the run has not unwound after `GRACE` seconds or a second signal comes. The watcher hears of
    signals through a wake-up descriptor that is written by the C-level handler, so that a main thread that does not
    come back to the interpreter cannot hold it up. Whatever is kept by then is kept: partial profiles are published
    by rename.

    Signals that are ignored when it is entered (``nohup``, a background job of a shell) stay ignored. Outside the main
    thread it does nothing, as only that thread may set handlers.

    Attributes:
        signum: the first signal that came, or None.
    """

    def __init__(self, board: Board, leave: Callable[[int], None]) -> None:
        self.signum: int | None = None
        self._board = board
        self._leave = leave
        self._restore: list[Callable[[], object]] = []

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is not threading.main_thread():
            return self
        reader, writer = socket.socketpair()
        writer.setblocking(False)  # `set_wakeup_fd` demands it: a signal handler must never wait
        previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        watcher = threading.Thread(target=self._watch, args=(reader,), name="interrupts", daemon=True)
        watcher.start()
        for signum in _SIGNALS:
            handler = signal.getsignal(signum)
            if handler is not signal.SIG_IGN:
                signal.signal(signum, self._interrupt)
                self._restore.append(partial(signal.signal, signum, handler))
        self._restore += [partial(signal.set_wakeup_fd, previous), writer.close, watcher.join, reader.close]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for restore in self._restore:
            restore()
        self._restore.clear()

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        # Only the first raises: a second exception would end the clean-up that the first began. The watcher hears both.
        if self.signum is None:
            self.signum = signum
            self._board.cancel()
            raise KeyboardInterrupt

    def _watch(self, reader: socket.socket) -> None:
        first: int | None = None
        while True:
            try:
                numbers = reader.recv(64)
            except TimeoutError:
                numbers = None
            if numbers == b"":  # the other end was closed: the run has unwound
                return
            for number in numbers or ():
                if number not in _SIGNALS:
                    continue
                if first is not None:
                    self._leave(first)
                    return
                first = number
                self._board.cancel()  # here too: the main thread may be in native code and not run its handler
                reader.settimeout(GRACE)
            if numbers is None and first is not None:
                self._leave(first)
                return
