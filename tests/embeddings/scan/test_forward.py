"""Scans on a device: memory that runs out, and the CUDA path against the CPU's."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.models.hooks import Taps  # noqa: E402
from corpus_audit.embeddings.models.models import LanguageModel, load_model  # noqa: E402
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, ListSizes  # noqa: E402
from corpus_audit.embeddings.scan.forward import fitting_batch, heat_maps, pool, scan  # noqa: E402
from corpus_audit.embeddings.scan.pooling import Pooling  # noqa: E402
from corpus_audit.embeddings.scan.windows import WindowPlan, cut, document_key  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.units import parse_pattern  # noqa: E402
from tests.corpora import source_files  # noqa: E402
from tests.embeddings.tiny import MIXTURES, write_tiny_gpt2, write_tiny_mixture  # noqa: E402

SIZES = ListSizes(top=6, domain=3, minima=3, samples=2)
UNITS = ("mlp.*:*", "resid.*:*", "head.*:*")


class Case:
    """A small model and windows of real text."""

    def __init__(self, folder, device="cpu", units=UNITS):
        self.model = load_model(str(folder), folder.parent, device)
        self.taps = Taps(self.model, tuple(map(parse_pattern, units)), stream=1)
        card = self.model.card
        plan = WindowPlan(32, 0, card.causal, card.prefix, card.suffix, card.special, card.tokenizer)
        texts = [path.read_text(encoding="utf-8", errors="ignore")[:3000] for _, path in source_files()[:24]]
        keys = [document_key(str(i), text) for i, text in enumerate(texts)]
        self.windows = cut(texts, keys, self.model.tokenizer, plan)

    def scanned(self, batch_tokens):
        state = ActivationAccumulator(self.taps.selection.rows, SIZES, self.taps.selection.floors())
        state.positions_of(["even", "odd"])
        pooling, seen = Pooling(self.taps.hidden, 2), []
        own = self.windows.document
        with self.taps.hooked():
            scan(self.taps, self.windows, own % 2, own % 16, state, batch_tokens, seen.append, pooling)
        return state, pooling.vectors(), seen


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bpe):
    return write_tiny_gpt2(tmp_path_factory.mktemp("gpt2") / "model", bpe)


@pytest.fixture
def scarce(monkeypatch):
    """A device that has memory for so many tokens at once."""

    def limit(most):
        real = LanguageModel.run

        def run(model, ids):
            if ids.numel() > most:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return real(model, ids)

        monkeypatch.setattr(LanguageModel, "run", run)

    return limit


@pytest.mark.slow
def test_batches_that_do_not_fit_are_halved_and_nothing_is_lost(folder, scarce):
    case = Case(folder)
    whole, vectors, _ = case.scanned(1024)
    scarce(200)
    halved, again, seen = case.scanned(1024)
    assert max(seen) <= 200 and halved.windows.sum() == len(case.windows)
    for name, array in whole.arrays().items():
        if name == "total" or array.dtype == np.float32:
            np.testing.assert_allclose(halved.arrays()[name], array, rtol=1e-5, atol=1e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(halved.arrays()[name], array, err_msg=name)
    np.testing.assert_array_equal(again.window, vectors.window)
    np.testing.assert_allclose(again.mean, vectors.mean, atol=1e-5)


@pytest.mark.slow
def test_the_batch_that_fits_is_found_and_a_window_that_does_not_is_named(folder, scarce):
    case = Case(folder)
    scarce(300)
    with case.taps.hooked():
        assert fitting_batch(case.taps, 32, 4096) == 256
        assert fitting_batch(case.taps, 32, 64) == 64
        scarce(20)
        with pytest.raises(UsageError, match="one window of 32 tokens does not fit into the memory of cpu"):
            fitting_batch(case.taps, 32, 4096)
        with pytest.raises(UsageError, match="one window of 32 tokens"):
            pool(case.taps, case.windows, 1024, Pooling(case.taps.hidden, 1))


@pytest.mark.slow
def test_heat_that_float16_cannot_hold_is_its_largest_number(folder):
    case = Case(folder, units=("resid.1:*",))
    with torch.no_grad():
        case.model.blocks[1].down.weight.mul_(1e6)
    state, _, _ = case.scanned(1024)
    assert state.top.value.max() > 1e5
    row, slot = np.nonzero(state.top.filled)
    order = np.argsort(case.windows.ids[:, 0])
    at = order[np.searchsorted(case.windows.ids[order, 0], state.top.window[row, slot])]
    into = np.full((*state.top.value.shape, 32), np.nan, np.float16)
    with case.taps.hooked():
        heat_maps(case.taps, case.windows, row, slot, at, into, 1024)
    assert np.nanmax(into) == np.finfo(np.float16).max and not np.isinf(into).any()


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["gpt2", *MIXTURES])
def test_a_cuda_device_finds_what_the_cpu_finds(tmp_path, bpe, folder, kind):
    """Same examples, counts and vectors, within what float32 rounds."""
    if kind != "gpt2":
        folder = write_tiny_mixture(tmp_path / "model", bpe, kind)
    units = UNITS if kind == "gpt2" else ("mlp.*:*", "resid.*:*", "expert.*:*")
    units = tuple(u for u in units if not (kind != "gpt2" and u.startswith("mlp")))
    (there, there_vectors, _), (here, vectors, _) = (Case(folder, d, units).scanned(2048) for d in ("cuda", "cpu"))
    assert np.array_equal(there.tokens, here.tokens) and np.array_equal(there.windows, here.windows)
    scale = np.abs(here.top.value[np.isfinite(here.top.value)]).max()
    np.testing.assert_allclose(there.top.value, here.top.value, rtol=1e-3, atol=1e-4 * scale)
    np.testing.assert_allclose(there.minima.value, here.minima.value, rtol=1e-3, atol=1e-4 * scale)
    assert (there.top.window == here.top.window).mean() > 0.97
    assert abs(there.fired - here.fired).sum() <= 0.001 * here.fired.sum()
    assert abs(there.histogram - here.histogram).sum() <= 0.01 * here.histogram.sum()
    np.testing.assert_array_equal(there_vectors.window, vectors.window)
    np.testing.assert_allclose(there_vectors.mean, vectors.mean, atol=1e-3)
