"""Asks Great Expectations for its opinion on every rule, in a process of its own.

Apart, because importing it costs seconds and 200 MB, it keeps a global project, and whatever happens to it there is an
error of the rules and not of the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus_audit.checks.policy.judge import SecondOpinion
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.results import Reference, Status
from corpus_audit.schemas.spec.policy_file import LoadedPolicy

GX_FOLDER = "gx"
"""In a run directory: `suite.json` and `validation.json`, for people who use Great Expectations."""

TIMEOUT = 900
"""Seconds; 5,000 rules take about 30."""


@dataclass(frozen=True)
class Asked:
    """Opinions by rule id, and the JSON of suite and validation; empty when the process failed."""

    opinions: dict[str, SecondOpinion]
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, run: Path) -> None:
        """Put the JSON into a run directory."""
        for name, document in self.documents.items():
            path = run / GX_FOLDER / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(strict_json.dumps(document, indent=1) + b"\n")


def ask(policy: LoadedPolicy, run: Path, references: Mapping[tuple[str, str], Reference]) -> Asked:
    """What Great Expectations says of every rule; when it cannot be asked, every rule has the error.

    Args:
        policy: the rules.
        run: the run directory, staged or published, whose table of metrics is judged.
        references: what figures are compared with, by rule and slice.
    """
    request = {
        "policy": policy.data.decode(),
        "run": str(run),
        "references": [
            {"rule": rule, "slice": slice_, "reference": reference.model_dump(mode="json")}
            for (rule, slice_), reference in references.items()
        ],
    }
    command = [sys.executable, "-m", "corpus_audit.checks.policy.great_expectations_rules"]
    environment = os.environ | {"GX_ANALYTICS_ENABLED": "false", "PYTHONWARNINGS": "ignore"}
    try:
        with tempfile.TemporaryDirectory() as scratch:  # it leaves a folder for pages that nobody asked for
            done = subprocess.run(
                command,
                input=strict_json.dumps(request),
                capture_output=True,
                check=False,
                timeout=TIMEOUT,
                env=environment | {"TMPDIR": scratch},
            )
        if done.returncode:
            raise ValueError(_last_line(done.stderr) or f"it ended with code {done.returncode}")
        answer = strict_json.loads(done.stdout)
        opinions = {
            rule: SecondOpinion({slice_: Status(status) for slice_, status in one["statuses"].items()}, one["error"])
            for rule, one in answer["opinions"].items()
        }
        return Asked(opinions, {name: answer[name] for name in ("suite", "validation")})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, subprocess.SubprocessError) as error:
        text = f"Great Expectations could not be run: {str(error).strip()[:200].rstrip('.')}."
        return Asked({rule.id: SecondOpinion({}, text) for rule in policy.policy.rules})


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
