"""The reductions of a CUDA device against those of the CPU: bit for bit, in any type the model computes in."""

import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from corpus_audit.embeddings.scan.accumulator import highest_of, lowest_of  # noqa: E402

SHAPES = ((1, 1, 1), (3, 7, 5), (2, 16, 300), (4, 33, 513))


def cases(device):
    """Values, with ties and with windows in which nothing counts, and which tokens count."""
    generator = torch.Generator().manual_seed(4)
    for shape in SHAPES:
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            values = torch.randn(shape, generator=generator).mul(3).round(decimals=1).to(dtype)
            counted = torch.rand(shape[:2], generator=generator) < 0.7
            counted[0, -1] = True
            if len(counted) > 2:
                counted[-1] = False
            yield values.to(device), counted.to(device)
            wide = torch.randn((*shape[:2], 2 * shape[2]), generator=generator).to(dtype)
            yield wide[..., : shape[2]].to(device), counted.to(device)


def compare(device):
    from corpus_audit.embeddings.scan import device_kernels

    for values, counted in cases(device):
        plain, counts = values.float().cpu().contiguous().numpy(), counted.cpu().numpy()
        some = counts.any(axis=1)
        high, low = highest_of(plain, counts), lowest_of(plain, counts)
        wanted = (high.peak, high.total, high.at, high.count), (low.value, low.at)
        for highest, lowest in ((True, True), (True, False), (False, True)):
            result = device_kernels.reduce_activations(values, counted, highest, lowest).cpu().numpy()
            expected = wanted[0] * highest + wanted[1] * lowest
            assert len(result) == len(expected)
            for mine, reference in zip(result, expected, strict=True):
                np.testing.assert_array_equal(mine.view(reference.dtype)[some], reference[some])
            if highest:
                assert not result[1][~some].any() and not result[3][~some].any()


@pytest.mark.slow
def test_the_kernels_as_triton_interprets_them():
    """On the CPU, in a process of its own: Triton decides at import whether it interprets."""
    script = "from tests.embeddings.scan.test_device_kernels import compare; compare('cpu'); print('the same')"
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip() == "the same", done.stderr[-2000:]


@pytest.mark.gpu
def test_the_kernels_on_a_device():
    compare("cuda")
