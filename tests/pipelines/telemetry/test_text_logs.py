"""Text logs: Megatron's lines with what surrounds them, and the formats with a step on a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corpus_audit.pipelines.telemetry import lines
from corpus_audit.pipelines.telemetry.megatron import read_megatron
from corpus_audit.pipelines.telemetry.points import FileTelemetry, Refusal
from corpus_audit.pipelines.telemetry.reading import read_telemetry_file
from corpus_audit.pipelines.telemetry.step_text import BY_NAME, read_step_text


def values(result: FileTelemetry, tag: str) -> dict[int, float]:
    (run,) = result.runs
    assert result.account.is_conserved
    rows = run.points.tag == run.tags.index(tag)
    return dict(zip(run.points.step[rows].tolist(), run.points.value[rows].tolist(), strict=True))


def line(step: int, loss: str = "2.5E+00", end: str = " |") -> str:
    return f" iteration {step:8d}/ 1000 | consumed samples: {step * 8:12d} | lm loss: {loss} | grad norm: 0.123{end}"


def megatron(path: Path, text: str) -> FileTelemetry:
    path.write_text(text, encoding="utf-8", newline="")
    result = read_megatron(path)
    assert result.account.entries == text.count("\n") + (not text.endswith("\n"))
    return result


def test_megatron_lines_with_prefixes_and_chatter(tmp_path: Path) -> None:
    text = "\n".join(
        [
            "starting",
            "[default7]:" + line(1),
            "12: " + line(2, "nan"),
            "[2024-05-01 12:00:00]" + line(3),
            "time (ms) | x: 1",
        ]
    )
    result = megatron(tmp_path / "a.out", text + "\r\n")
    losses = values(result, "lm loss")
    assert np.isnan(losses.pop(2)) and losses == {1: 2.5, 3: 2.5}
    assert values(result, "consumed samples") == {1: 8.0, 2: 16.0, 3: 24.0}
    assert (result.account.used, result.account.other) == (3, 2)
    points = result.runs[0].points
    assert set(points.wall_time[points.step == 3]) == {1714564800.0}
    assert text.encode()[points.offset[points.step == 3][0] :].startswith(b"[2024")


def test_a_skipped_iteration_has_no_loss(tmp_path: Path) -> None:
    skipped = " iteration 2/ 9 | consumed samples: 16 | number of skipped iterations: 1 |"
    result = megatron(tmp_path / "a.out", f"{line(1)}\n{skipped}\n{line(3)}\n")
    assert values(result, "lm loss") == {1: 2.5, 3: 2.5}
    assert values(result, "number of skipped iterations") == {2: 1.0}


@pytest.mark.parametrize("width", [40, 60, 81])
def test_wrapped_lines_are_joined(tmp_path: Path, width: int) -> None:
    text = line(7, "1.234567E+01")
    wrapped = "\n".join("3: " + text[i : i + width] for i in range(0, len(text), width))
    result = megatron(tmp_path / "a.out", f"{wrapped}\n{line(8)}\n")
    assert values(result, "lm loss") == {7: 12.34567, 8: 2.5}
    assert result.account.values_refused == 0


def test_a_number_that_the_end_cuts_is_refused(tmp_path: Path) -> None:
    result = megatron(tmp_path / "a.out", f"{line(1)}\n iteration 2/ 9 | consumed samples: 16 | lm loss: 2.5")
    assert values(result, "lm loss") == {1: 2.5} and values(result, "consumed samples") == {1: 8.0, 2: 16.0}
    assert result.account.reasons == {Refusal.TRUNCATED: 1}


def test_what_is_no_number_and_repeated_keys_are_counted(tmp_path: Path) -> None:
    odd = " iteration 2/ 9 | lm loss: <b>\x1b[31m | grad norm: 1.0 | grad norm: 2.0 |"
    result = megatron(tmp_path / "a.out", f"{line(1)}\n{odd}\n")
    assert values(result, "grad norm") == {1: 0.123, 2: 1.0}
    assert result.account.reasons == {Refusal.NOT_A_NUMBER: 1, Refusal.DUPLICATE_KEY: 1}
    letter = result.account.dead_letters[0]
    assert letter.offset == len(line(1)) + 2 and "<b>" in letter.detail


def test_validation_lines(tmp_path: Path) -> None:
    text = f"{line(1)}\n validation loss at iteration 1 | lm loss value: 3.0E+00 | lm loss PPL: 2.0E+01 |\n"
    assert values(megatron(tmp_path / "a.out", text), "validation lm loss value") == {1: 3.0}


def test_lines_that_are_too_long_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines.line_blocks, "__defaults__", (400,))
    path = tmp_path / "a.out"
    path.write_text(f"{line(1)}\n{'x' * 3000}\n{line(2)}\n{'y' * 1700}")
    result = read_megatron(path)
    assert values(result, "lm loss") == {1: 2.5, 2: 2.5}
    assert result.account.reasons == {Refusal.TOO_LARGE: 2} and result.account.entries == 4
    points = result.runs[0].points
    assert sorted(set(points.offset.tolist())) == [1, len(line(1)) + 3003]


SAMPLES = {
    "torchtitan": (
        "\x1b[31m[titan] 2024-07-01 10:00:00,123 - root - INFO - \x1b[32mstep:  5  \x1b[33mloss:  8.0491  "
        "grad_norm:  1.2  memory:  0.51GiB(1.2%)  tps: 1,234  mfu: 0.10%\x1b[39m\n",
        {"loss": 8.0491, "grad_norm": 1.2, "memory": 0.51, "tps": 1234.0, "mfu": 0.1},
    ),
    "nanogpt": (
        "number of parameters: 10.65M\nstep 5: train loss 4.28, val loss 4.27\n"
        "iter 5: loss 4.26, time 12.5ms, mfu -1.00%\n",
        {"train loss": 4.28, "val loss": 4.27, "loss": 4.26, "time": 12.5, "mfu": -1.0},
    ),
    "llm.c": ("s:5 tel:3.5\ns:5 trl:3.4 lr:0.000001 norm:15.37\n", {"tel": 3.5, "trl": 3.4, "lr": 1e-6, "norm": 15.37}),
    "llm.c terminal": (
        "step    5/19560 | loss 11.0 (+nanz)| norm 15.37 (+nanz)| lr 1.00e-06 | 3000.1 ms | 50.1% bf16 MFU | "
        "170000 tok/s\n",
        {"loss": 11.0, "norm": 15.37, "lr": 1e-6, "ms": 3000.1, "% bf16 MFU": 50.1, "tok/s": 170000.0},
    ),
    "modded-nanogpt": ("step:5/5100 val_loss:10.8 train_time:10ms\n", {"val_loss": 10.8, "train_time": 10.0}),
    "olmo": (
        "2024-09-01 INFO [step=5/739328,epoch=0]\n    optim/LR (group 0)=0.0004\n    train/CE loss=11.03\n"
        "    throughput/total_tokens=4,194,304\nother\n    train/CE loss=99\n",
        {"optim/LR (group 0)": 0.0004, "train/CE loss": 11.03, "throughput/total_tokens": 4194304.0},
    ),
    "deepspeed": (
        "[2023-01-01 00:00:00,123] [INFO] [logging.py:68:log_dist] [Rank 0] step=5, skipped=1, lr=[0.0001, 0.0001], "
        "mom=[(0.9, 0.95)]\nsteps: 5 loss: 10.98 iter time (s): 1.234 samples/sec: 12.3\n",
        {"skipped": 1.0, "lr": 0.0001, "loss": 10.98, "iter time (s)": 1.234, "samples/sec": 12.3},
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_step_and_names_on_a_line(tmp_path: Path, name: str) -> None:
    text, expected = SAMPLES[name]
    path = tmp_path / "run.log"
    path.write_text(text)
    result = read_telemetry_file(path)
    assert isinstance(result, FileTelemetry) and result.kind == name
    (run,) = result.runs
    assert {tag: values(result, tag) for tag in run.tags} == {tag: {5: value} for tag, value in expected.items()}
    assert result.account.entries == text.count("\n")


def test_words_that_begin_like_nan_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text("s:1 trl:nancy lr:nan\ns:2 trl:infinite lr:-inf\n")
    result = read_step_text(path, BY_NAME["llm.c"])
    assert result.runs[0].tags == ("lr",) and values(result, "lr")[2] == float("-inf")
