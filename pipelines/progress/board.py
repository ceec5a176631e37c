"""The progress board: counters of what a run has done so far, written by pipeline threads and read by a reporter.

Each process has one board. A board pickles as a reference to the board of the process that unpickles it, so a pipeline
step always writes to the board of the process that it runs in.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

RATE_WINDOW = 10.0
"""Seconds over which the rate is averaged."""

_SAMPLE_EVERY = 0.5  # seconds: a rate over shorter times would follow the workers' batches


class RunCancelledError(BaseException):
    """The run was cancelled; a pipeline step gets this at its next `Board.advance`.

    Not an `Exception`, like `KeyboardInterrupt`: a step that reports errors of its input must not report a cancelled
    run as one.
    """


@dataclass(frozen=True, slots=True)
class ActiveShard:
    """A shard that is being read, and for how many seconds it has been."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BoardState:
    """The state of the board at one moment.

    Attributes:
        stage: name of the stage, a few words.
        seconds: time since the stage began.
        bytes_done, bytes_total: bytes of the stage; the total is 0 if unknown.
        splits_done, splits_total: splits of the run, those counted by earlier runs included.
        documents, dead_letters: read by this run so far; at the end the totals of the run (`Board.counted`).
        active: shards being read, the one that started first comes first.
        rate: bytes a second over about the last ten seconds; if nothing was done in them, over the time since the
            last progress; 0 before the first.
        compiling: whether a kernel is being compiled, which happens once on a machine.
    """

    stage: str
    seconds: float
    bytes_done: int
    bytes_total: int
    splits_done: int
    splits_total: int
    documents: int
    dead_letters: int
    active: tuple[ActiveShard, ...]
    rate: float
    compiling: bool = False

    @property
    def share(self) -> float | None:
        """Share of the stage's bytes that are done, 0 to 1; None if the total is unknown."""
        return min(1.0, self.bytes_done / self.bytes_total) if self.bytes_total > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the stage ends at the current rate; None if the total is unknown or the rate is 0."""
        if self.bytes_total <= 0 or self.rate <= 0:
            return None
        return max(0, self.bytes_total - self.bytes_done) / self.rate


class Board:
    """Counters behind one lock; every call costs about a microsecond."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._reset()

    def _reset(self) -> None:
        self._stage = "starting"
        self._began = time.monotonic()
        self._bytes_done = 0
        self._bytes_total = 0
        self._splits_done = 0
        self._splits_total = 0
        self._documents = 0
        self._dead_letters = 0
        self._counting = True
        self._compiling = 0
        self._active: dict[str, tuple[float, int]] = {}
        self._samples: deque[tuple[float, int]] = deque([(self._began, 0)])

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return process_board, ()

    def reset(self) -> None:
        """Reset all counters for a new run in this process."""
        with self._lock:
            self._cancelled = False
            self._reset()

    def begin_stage(self, name: str, total_bytes: int = 0, splits: int = 0, kept: int = 0) -> None:
        """Begin a stage of ``total_bytes``.

        Args:
            name: name of the stage, a few words.
            total_bytes: bytes that `advance` will add up to; 0 if unknown.
            splits: splits of the run, if this stage counts them. 0 leaves the counts of splits and documents unchanged:
                a further stage that reads them, to choose decoys or to verify more, must not count them twice.
            kept: how many of them earlier runs have counted already.
        """
        now = time.monotonic()
        with self._lock:
            self._stage, self._began = name, now
            self._bytes_done, self._bytes_total = 0, total_bytes
            self._samples = deque([(now, 0)])
            self._active.clear()
            self._counting = splits > 0
            if splits:
                self._splits_done, self._splits_total = kept, splits
                self._documents = self._dead_letters = 0

    def advance(self, bytes: int = 0, documents: int = 0, dead_letters: int = 0) -> None:
        """Add the work done since the last call.

        Raises:
            RunCancelledError: if `cancel` was called.
        """
        # Outside the lock: reading a bool is atomic, and every worker comes through here with each batch.
        if self._cancelled:
            raise RunCancelledError("the run was cancelled")
        now = time.monotonic()
        with self._lock:
            self._bytes_done += bytes
            if self._counting:
                self._documents += documents
                self._dead_letters += dead_letters
            # Only where there was progress: through a long document the last sample stays, and the rate falls slowly
            # instead of becoming 0.
            if now - self._samples[-1][0] >= _SAMPLE_EVERY and self._bytes_done > self._samples[-1][1]:
                self._samples.append((now, self._bytes_done))
                while len(self._samples) > 2 and self._samples[1][0] <= now - RATE_WINDOW:
                    self._samples.popleft()

    def counted(self, documents: int, dead_letters: int) -> None:
        """Set the totals of the run once they are known; they include kept splits and repeated shards."""
        with self._lock:
            self._documents, self._dead_letters = documents, dead_letters

    def compiling(self, kernels: int) -> None:
        """Add to the number of kernels that are being compiled; a negative number subtracts."""
        with self._lock:
            self._compiling = max(0, self._compiling + kernels)

    def shard_started(self, name: str) -> None:
        """Record that a worker has started a split of the shard; several may be read at once."""
        with self._lock:
            began, splits = self._active.get(name, (time.monotonic(), 0))
            self._active[name] = began, splits + 1

    def shard_finished(self, name: str) -> None:
        """Record that a worker has finished a split of the shard."""
        with self._lock:
            began, splits = self._active.get(name, (0.0, 0))
            if splits > 1:
                self._active[name] = began, splits - 1
            else:
                self._active.pop(name, None)

    def split_done(self) -> None:
        """Record that a split's partials are in the store, so that it will not be read again."""
        with self._lock:
            self._splits_done += self._counting  # a further stage that reads the split does not count it twice

    def cancel(self) -> None:
        """Make every later `advance` raise; safe in a signal handler, as it takes no lock."""
        self._cancelled = True

    def state(self) -> BoardState:
        """The state of the board now."""
        now = time.monotonic()
        with self._lock:
            seconds, done = self._rate_start(now)
            elapsed = now - seconds
            return BoardState(
                stage=self._stage,
                seconds=now - self._began,
                bytes_done=self._bytes_done,
                bytes_total=self._bytes_total,
                splits_done=self._splits_done,
                splits_total=self._splits_total,
                documents=self._documents,
                dead_letters=self._dead_letters,
                active=tuple(
                    ActiveShard(name, now - began)
                    for name, (began, _) in sorted(self._active.items(), key=lambda item: item[1][0])
                ),
                rate=(self._bytes_done - done) / elapsed if elapsed > 0 else 0.0,
                compiling=self._compiling > 0,
            )

    def _rate_start(self, now: float) -> tuple[float, int]:
        """The sample that the rate is measured from: the newest before the window with fewer bytes than now."""
        return next(
            (
                sample
                for sample in reversed(self._samples)
                if sample[0] <= now - RATE_WINDOW and sample[1] < self._bytes_done
            ),
            self._samples[0],
        )


_BOARD = Board()


def process_board() -> Board:
    """The board of this process."""
    return _BOARD
