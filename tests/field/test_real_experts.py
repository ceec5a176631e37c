"""Loads of OLMoE's experts by domain, as its authors counted them: imbalance is of the mixture as much as of the model.

In the folder that the environment variable CORPUS_AUDIT_INVESTIGATION names: ``olmoe/expert_counts.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from corpus_audit.pipelines.statistics.telemetry.expert_balance import expert_balance

FOLDER = os.environ.get("CORPUS_AUDIT_INVESTIGATION", "")
EXPERTS = 64


def test_arxiv_is_routed_far_less_evenly_than_c4() -> None:
    """The mean over three layers of the largest load over the mean, less 1: 1.72 of C4 and 6.20 of arXiv."""
    path = Path(FOLDER) / "olmoe" / "expert_counts.json"
    if not FOLDER or not path.is_file():
        pytest.skip("the counts are not here: CORPUS_AUDIT_INVESTIGATION names no folder with olmoe")
    counts = json.loads(path.read_text())

    def violation(domain: str) -> float:
        layers = counts[f"olmoe/expert_counts/{domain}"]
        loads = np.array([[layer.get(str(expert), 0) for expert in range(EXPERTS)] for layer in layers], float)
        return float(expert_balance(loads).violation.mean())

    assert violation("c4") == pytest.approx(1.72, abs=0.02) and violation("arxiv") == pytest.approx(6.20, abs=0.02)
