"""Versions of workers against those of the driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_audit.pipelines.counting.worker_probe import (
    COMPUTING_PACKAGES,
    TRANSPORT_PACKAGES,
    ProbeAnswer,
    read_answers,
    version_differences,
)
from corpus_audit.schemas.errors import EngineError

HERE = ProbeAnswer("driver", 1, dict.fromkeys((*COMPUTING_PACKAGES, *TRANSPORT_PACKAGES), "3.12.4"))


def worker(host: str = "w1", **versions: str) -> ProbeAnswer:
    return ProbeAnswer(host, 2, HERE.versions | {name.replace("_", "-"): text for name, text in versions.items()})


@pytest.mark.parametrize(
    ("package", "theirs", "refused"),
    [
        *((name, "3.12.5", True) for name in COMPUTING_PACKAGES),
        *((name, "3.12.5", False) for name in TRANSPORT_PACKAGES),
        *((name, "3.13.4", True) for name in TRANSPORT_PACKAGES),
        *((name, "4.12.4", True) for name in TRANSPORT_PACKAGES),
    ],
)
def test_every_difference_names_package_and_both_versions(package: str, theirs: str, refused: bool) -> None:
    differences = version_differences([HERE, worker(**{package: theirs})], HERE)
    text = f"a worker on w1 has {package} {theirs}, and this process {package} 3.12.4"
    assert (differences.refused, differences.tolerated) == (((text,), ()) if refused else ((), (text,)))


@pytest.mark.parametrize("package", [*COMPUTING_PACKAGES, *TRANSPORT_PACKAGES])
def test_a_package_that_a_worker_lacks_is_refused(package: str) -> None:
    lacking = ProbeAnswer("w1", 2, {name: text for name, text in HERE.versions.items() if name != package})
    for answer in (worker(**{package: ""}), lacking):
        differences = version_differences([answer], HERE)
        assert differences.refused == (f"a worker on w1 has no {package}, and this process {package} 3.12.4",)


def test_workers_that_differ_alike_are_named_once() -> None:
    answers = [worker(numpy="2.1.0"), worker("w2", numpy="2.1.0"), worker("w3", numpy="2.2.0", python="3.12.1")]
    differences = version_differences(answers, HERE)
    assert [text.split(",")[0] for text in differences.refused] == [
        "a worker on w1 has numpy 2.1.0", "a worker on w3 has numpy 2.2.0",
    ]  # fmt: skip
    assert len(differences.tolerated) == 1
    assert version_differences([HERE, worker()], HERE).refused == ()


def test_this_process_has_all_packages() -> None:
    assert all(ProbeAnswer.of_this_process().versions.values()) and set(ProbeAnswer.of_this_process().versions) == {
        *COMPUTING_PACKAGES,
        *TRANSPORT_PACKAGES,
    }


def test_an_answer_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answer-0.json").write_text('{"host": "w1", "pid": 2, "python": "3.11", "beam": "2.70"}')
    with pytest.raises(EngineError, match="another version of corpus-audit"):
        read_answers(tmp_path)
