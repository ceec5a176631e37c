"""The probe before a run on Spark or Dataflow, with workers that are made up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.pipelines.counting.worker_probe import ProbeAnswer
from corpus_audit.runners.engines.launch.engines import Engine, probe_workers
from corpus_audit.schemas.errors import EngineError


@dataclass(frozen=True)
class MadeUp(Engine):
    """An engine whose last worker has other versions."""

    others: dict[str, str] = field(default_factory=dict)

    def run(self, name: str, build: Any, target: Path) -> None:
        raise NotImplementedError

    def perform(self, worker: Any, tasks: Sequence[Any], weights: list[int]) -> None:
        here = ProbeAnswer.of_this_process()
        for task in tasks:
            versions = here.versions | (self.others if task is tasks[-1] else {})
            answer = json.dumps(asdict(replace(here, host="far", versions=versions)))
            (task.folder / f"answer-{task.number}.json").write_text(answer)


def probed(folder: Path, **versions: str) -> list[str]:
    output: list[str] = []
    probe_workers(MadeUp(3, folder, versions), output.append)
    return output


def test_workers_with_the_drivers_versions_pass_in_silence(tmp_path: Path) -> None:
    assert probed(tmp_path) == [] and not list(tmp_path.iterdir())


def test_a_version_that_computes_otherwise_is_refused(tmp_path: Path) -> None:
    ours = ProbeAnswer.of_this_process().versions["numpy"]
    message = f"^a worker on far has numpy 1.0.0, and this process numpy {ours}: install the same versions on both"
    with pytest.raises(EngineError, match=message):
        probed(tmp_path, numpy="1.0.0")


def test_a_patch_level_of_what_only_carries_tasks_is_reported(tmp_path: Path) -> None:
    ours = ProbeAnswer.of_this_process().versions["python"]
    theirs = f"{ours.rpartition('.')[0]}.99"
    assert probed(tmp_path, python=theirs) == [f"a worker on far has python {theirs}, and this process python {ours}"]
