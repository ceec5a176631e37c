"""104 models of Gadre et al. (2024): laws fitted to the small ones, held against the large ones.

In the folder that the environment variable CORPUS_AUDIT_INVESTIGATION names: ``scaling/exp_data/models/*.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from corpus_audit.pipelines.statistics.scaling.uncertainty import fit_with_intervals

FOLDER = os.environ.get("CORPUS_AUDIT_INVESTIGATION", "")
SMALL = 600e6


@pytest.fixture(scope="module")
def models() -> dict[str, np.ndarray]:
    """Parameters, tokens and loss on C4's validation set of every model, [n, 3], by training set."""
    paths = sorted(Path(FOLDER).glob("scaling/exp_data/models/*.json")) if FOLDER else []
    if not paths:
        pytest.skip("the models are not here: CORPUS_AUDIT_INVESTIGATION names no folder with scaling/exp_data")
    runs: dict[str, list[tuple[float, float, float]]] = {}
    for path in paths:
        document = json.loads(path.read_text())
        settings = document["hyperparameters"]
        losses = {result["val_data"][0].split("/")[-2]: result["loss"] for result in document["results"]}
        run = (settings["params"], settings["tokens"], losses["c4_val"])
        runs.setdefault(document["dataset_name"], []).append(run)
    return {name: np.array(rows) for name, rows in runs.items()}


def test_all_nine_large_models_are_within_the_prediction_of_the_small_ones(models: dict[str, np.ndarray]) -> None:
    within, errors = 0, []
    for rows in models.values():
        small = rows[:, 0] < SMALL
        fitted = fit_with_intervals(*rows[small].T, replicates=500)
        for parameters, tokens, loss in rows[~small]:
            prediction = fitted.predict(parameters, tokens)
            within += prediction.low < loss < prediction.high
            errors.append(prediction.value / loss - 1)
    assert (within, len(errors)) == (9, 9)
    assert min(errors) == pytest.approx(-0.079, abs=1e-3) and max(errors) < 0
