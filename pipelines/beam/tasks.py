"""Independent tasks on an engine: a worker that is sent out once, and a task at a time for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import apache_beam as beam


class Worker(Protocol):
    """Performs tasks; what it finds goes where the tasks say, not through the engine."""

    def perform(self, task: Any) -> None:
        """Perform one."""


class Perform(beam.DoFn):
    """Have a worker perform every element."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def process(self, task: Any) -> Iterator[int]:
        """Perform a task; 1, so that they can be counted."""
        self._worker.perform(task)
        yield 1
