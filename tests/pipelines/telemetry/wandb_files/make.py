"""Writes a run of W&B offline, in an environment that has wandb: ``python make.py FOLDER FILE``.

``wandb_0.16.6.wandb`` and ``wandb_0.31.0.wandb`` beside it were written so, with the versions that they name: the
first by W&B's Python, the second by its Go process. What they hold is in `ROWS` of the test.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

STEPS = 60


def main() -> None:
    """Log a run and copy its file."""
    os.environ |= {
        "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB_DISABLE_CODE": "true",
        "WANDB_DISABLE_GIT": "true", "WANDB_HOST": "host", "WANDB_USERNAME": "user", "WANDB_PROGRAM": "train",
        "WANDB__DISABLE_STATS": "true", "WANDB__DISABLE_META": "true", "WANDB_X_DISABLE_STATS": "true",
        "WANDB_X_DISABLE_META": "true", "WANDB_RUN_ID": "fixture",
    }  # fmt: skip
    import wandb

    folder, file = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    config = {"lr": 1e-3, "model": {"layers": 12}, "note": "<b>x</b>", "text": "long " * 2700}
    run = wandb.init(project="demo", dir=str(folder), config=config)
    for step in range(STEPS):
        row: dict[str, object] = {"train/loss": 2 + 8 * (step + 10) ** -0.4, "train": {"grad_norm": 1 / (step + 1)}}
        if step == 7:
            row["train/loss"] = float("nan")
        if step == 8:
            row["train/loss"] = float("inf")
        if step % 10 == 9:
            row["eval/loss"] = 2.5 + 1 / (step + 1)
        if step == 20:
            row["h"] = wandb.Histogram([1, 2, 3])
        if step == 21:
            row |= {"flag": True, "big": 2**60, "\x1b[31m<b>": 1.5, "word": "hello"}
        wandb.log(row, step=step if step < 30 else step + 70)
    run.summary["best"] = 1.25
    run.finish()
    wandb.teardown()  # the process that writes ends
    (written,) = folder.rglob("*.wandb")
    shutil.copyfile(written, file)


if __name__ == "__main__":
    main()
