"""Independent tasks on an engine: the worker is pickled once, and each element is one task for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import apache_beam as beam


class Worker(Protocol):
    """Runs tasks and writes results to the paths that the tasks name, so that they do not go through the engine."""

    def run_task(self, task: Any) -> None:
        """Run one task."""


class RunTasks(beam.DoFn):
    """Run the worker on every element; an element is a task."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def process(self, task: Any) -> Iterator[int]:
        """Run one task; emits 1, so that finished tasks can be counted."""
        self._worker.run_task(task)
        yield 1
