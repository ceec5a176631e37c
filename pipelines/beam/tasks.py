"""Independent tasks on an engine: the worker is pickled once, and each element is one task for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import apache_beam as beam


class Worker(Protocol):
    """Runs tasks; writes results to the paths that tasks name, so that they do not go through the engine."""

    def perform(self, task: Any) -> None:
        """Run one task."""


class Perform(beam.DoFn):
    """Run the worker on every element, a task."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def process(self, task: Any) -> Iterator[int]:
        """Run a task; emits 1, so that tasks can be counted."""
        self._worker.perform(task)
        yield 1
