"""A judged run's rules for users of Great Expectations: suite and results in its folder ``gx``, written by itself.

Great Expectations runs in a child process, because importing it costs seconds and 200 MB, it keeps a global project,
and whatever happens to it must not touch the run. It evaluates the rules with our own code, so its results can neither
confirm nor change a verdict: without them the run lacks an export and nothing else.

Importing it takes 3.5 of the 11 CPU seconds of a run that reads nothing, so the store keeps the last answer for a
policy with a digest of all that it depends on.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from types import TracebackType

from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.results import Reference
from corpus_audit.schemas.spec.policy_file import LoadedPolicy

GX_FOLDER = "gx"
"""In a run directory: `suite.json` and `validation.json`."""

METRICS_FILE = Path("tables", "metrics.parquet")
"""In a run directory: the figures that are evaluated."""

TIMEOUT = 300.0
"""Seconds from the request on; 5,000 rules take about 30."""


class GreatExpectationsExport:
    """The child process, which imports Great Expectations while the run goes on; a context manager that ends it.

    A process whose parent is killed reads the end of its input and leaves.

    Args:
        kept: a folder for answers, by policy; None to keep none.
        likely_kept: the answer is likely to be kept, so that the process is started only when it turns out not to be.
    """

    def __init__(self, kept: Path | None = None, likely_kept: bool = False) -> None:
        self._kept, self._late = kept, likely_kept
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._problem = "it was not started"

    def __enter__(self) -> GreatExpectationsExport:
        if not self._late:
            self._start()
        return self

    def _start(self) -> None:
        self._scratch = tempfile.TemporaryDirectory()  # it leaves a folder for documentation pages in TMPDIR
        more = {"GX_ANALYTICS_ENABLED": "false", "PYTHONWARNINGS": "ignore", "TMPDIR": self._scratch.name}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "corpus_audit.checks.policy.great_expectations_rules"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | more,
            )
        except OSError as error:
            self._problem = str(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            with self._process:  # which closes its pipes and waits for its end
                self._process.kill()
        if self._scratch is not None:
            self._scratch.cleanup()

    def write(
        self,
        policy: LoadedPolicy,
        run: Path,
        references: Mapping[tuple[str, str], Reference],
        sampled: bool = False,
    ) -> str:
        """Evaluate the rules and write suite and results into a run directory; waits for the child process.

        Args:
            policy: the rules.
            run: the run directory, staged, whose table of metrics is evaluated.
            references: what figures are compared with, by rule and slice.
            sampled: whether only a part of the corpus was read.

        Returns:
            Why nothing was written, a sentence; empty if both files were.
        """
        request = {
            "policy": policy.data.decode(),
            "run": str(run),
            "sampled": sampled,
            "references": [
                {"rule": rule, "slice": slice_, "reference": reference.model_dump(mode="json")}
                for (rule, slice_), reference in references.items()
            ],
        }
        try:
            answer = strict_json.loads(self._answer_or_kept(request, policy, run))
            documents = {f"{name}.json": strict_json.dumps(answer[name], indent=1) for name in ("suite", "validation")}
            (run / GX_FOLDER).mkdir()
            for name, data in documents.items():
                (run / GX_FOLDER / name).write_bytes(data + b"\n")
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = str(error).strip()[:200].rstrip(".")
            return f"The run has no folder {GX_FOLDER}, Great Expectations failed: {problem}. Its verdict stands."
        return ""

    def _answer_or_kept(self, request: Mapping[str, object], policy: LoadedPolicy, run: Path) -> bytes:
        """The answer to a request; the kept one if the request and the figures were the same."""
        if self._kept is None:
            return self._answer(strict_json.dumps(request))
        path = self._kept / f"{hashlib.sha256(policy.data).hexdigest()[:32]}.json"
        inputs = _inputs(request, run)
        with suppress(OSError, ValueError, KeyError, TypeError):  # not there, damaged, or of an earlier version
            kept = strict_json.loads(path.read_bytes())
            if kept["inputs"] == inputs:
                return strict_json.dumps(kept["answer"])
        answer = self._answer(strict_json.dumps(request))
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, strict_json.dumps({"inputs": inputs, "answer": strict_json.loads(answer)}))
        return answer

    def _answer(self, request: bytes) -> bytes:
        if self._process is None and self._late:
            self._start()
        if self._process is None:
            raise ValueError(self._problem)
        try:
            answer, stderr = self._process.communicate(request, TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ValueError(f"it took longer than {TIMEOUT:g} s") from None
        if self._process.returncode:
            raise ValueError(_last_line(stderr) or f"it ended with code {self._process.returncode}")
        return answer


def _inputs(request: Mapping[str, object], run: Path) -> str:
    """Digest of what an answer depends on: the request but for the run's path, its figures, and the code."""
    hasher = hashlib.sha256(strict_json.dumps({name: request[name] for name in ("policy", "references")}))
    hasher.update(hashlib.sha256((run / METRICS_FILE).read_bytes()).digest())
    hasher.update(metadata.version("great_expectations").encode())
    for package in ("corpus_audit.checks.policy", "corpus_audit.schemas.spec", "corpus_audit.schemas.run"):
        for source in sorted(files(package).iterdir(), key=lambda entry: entry.name):
            if source.name.endswith(".py"):
                hasher.update(hashlib.sha256(source.read_bytes()).digest())
    return hasher.hexdigest()


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
