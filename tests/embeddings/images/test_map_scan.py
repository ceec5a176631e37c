"""The scan of maps against a full sort of all activations, in value, position and order; parts merge to the whole."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.images import map_scan  # noqa: E402
from corpus_audit.embeddings.index.bins import histogram_edges  # noqa: E402
from corpus_audit.embeddings.scan.accumulator import GROUPS  # noqa: E402
from corpus_audit.schemas.errors import AuditError  # noqa: E402
from tests.embeddings.images.full_sort import (  # noqa: E402
    CONFIGURATIONS,
    DOMAINS,
    SIZES,
    Corpus,
    brute_force,
    check_lists,
    merged_scan,
    selection_of,
)
from tests.embeddings.images.image_models import Inception, SmallResNet, image_model, lite0  # noqa: E402


@pytest.fixture(scope="module")
def residual():
    model = image_model(SmallResNet(), (32, 32))
    corpus, selection = Corpus(model, 120), selection_of(model)
    return corpus, selection, {batch: brute_force(corpus, selection, batch) for batch in (8, 5)}


@pytest.mark.parametrize(("batch", "parts", "workers"), CONFIGURATIONS)
def test_lists_equal_a_full_sort_however_the_corpus_is_cut(residual, batch, parts, workers, tmp_path):
    corpus, selection, expected = residual
    merged = merged_scan(corpus, selection, batch, parts, workers, tmp_path)
    check_lists(corpus, merged, *expected[batch])


@pytest.mark.slow
def test_lists_of_two_thousand_images_equal_a_full_sort(tmp_path):
    model = image_model(SmallResNet(), (32, 32))
    corpus, selection = Corpus(model, 2000), selection_of(model)
    compared = 0
    for batch in (8, 5):
        expected = brute_force(corpus, selection, batch)
        for number, (_, parts, workers) in enumerate(each for each in CONFIGURATIONS if each[0] == batch):
            merged = merged_scan(corpus, selection, batch, parts, workers, tmp_path / f"{batch}-{number}")
            compared += check_lists(corpus, merged, *expected)
    assert selection.rows == 173 and compared == 6 * 173 * (SIZES.top + SIZES.minima + len(DOMAINS) * SIZES.domain)


def test_counts_sums_and_histograms_are_those_of_images(residual):
    corpus, selection, expected = residual
    peak, _ = expected[8]
    state = corpus.scan(selection, range(120), 8)
    edges = np.concatenate([[-np.inf], histogram_edges(), [np.inf]])
    assert state.windows.sum() == state.tokens.sum() == 120
    for unit in range(0, selection.rows, 5):
        for d in range(len(DOMAINS)):
            for g in range(GROUPS):
                mine = peak[(corpus.domain == d) & (corpus.group == g), unit]
                assert state.fired[d, g, unit] == (mine > 0).sum() and state.tokens[d, g] == len(mine)
                assert state.total[d, g, unit] == pytest.approx(mine.astype(np.float64).sum(), abs=1e-4)
        counted, _ = np.histogram(peak[:, unit], edges)
        assert state.histogram[unit].sum() == 120
        # A negative value on an edge is in the bin below: bins are closed at the end that is nearer to 0.
        on_edges = int(np.isin(peak[:, unit], edges).sum())
        assert np.abs(np.cumsum(counted) - np.cumsum(state.histogram[unit])).max() <= on_edges


def test_samples_are_those_of_lowest_hash_in_each_bin(residual):
    corpus, selection, expected = residual
    peak, position = expected[8]
    a, b = corpus.scan(selection, range(120), 8), corpus.scan(selection, reversed(range(120)), 8)
    for mine, other in zip(a.samples.columns, b.samples.columns, strict=True):
        np.testing.assert_array_equal(mine, other)
    by_window = {int(window): i for i, window in enumerate(corpus.window)}
    unit, bin_, slot = np.nonzero(a.samples.filled)
    assert len(unit) > selection.rows
    for u, c, s in zip(unit, bin_, slot, strict=True):
        i = by_window[int(a.samples.window[u, c, s])]
        assert a.samples.value[u, c, s] == peak[i, u] and a.samples.position[u, c, s] == position[i, u]


def test_some_channels_of_some_points():
    model = image_model(Inception(), (37, 41))
    selection = selection_of(model, ("conv.one:2-3", "conv.last:5", "logit:1"))
    corpus = Corpus(model, 30)
    state = corpus.scan(selection, range(30), 4)
    check_lists(corpus, state, *brute_force(corpus, selection, 4))


def test_an_activation_that_is_not_finite_stops_the_scan():
    model = image_model(SmallResNet(), (32, 32))
    corpus = Corpus(model, 4)
    corpus.inputs[2, 1, 3, 3] = torch.nan
    with pytest.raises(AuditError, match=r"not finite numbers \(conv\.stem\)"):
        corpus.scan(selection_of(model), range(4), 4)


@pytest.mark.slow
def test_lists_of_lite0_equal_a_full_sort():
    model = lite0()
    corpus, selection = Corpus(model, 60), selection_of(model)
    assert selection.rows == 22_008
    state = corpus.scan(selection, range(60), 12)
    check_lists(corpus, state, *brute_force(corpus, selection, 12))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [49, 196, 97 * 2, 28 * 28, 111 * 113, 112 * 112])
def test_positions_by_blocks_are_the_first_of_the_whole_map(size, dtype):
    block = map_scan.block_size(size)
    assert size % block == 0 and (block == size or block >= map_scan.LEAST_BLOCK)
    values = torch.randint(0, 40, (3, 5, size), generator=torch.Generator().manual_seed(size)).to(dtype)  # with ties
    maps = values.reshape(3, 5, size // block, block)
    images, channels = np.nonzero(np.ones((3, 5), bool))
    peak = values.amax(2).float().numpy()[images, channels]
    positions = map_scan._positions(maps, maps.amax(3), images, channels, peak)
    first = (values == values.amax(2, keepdim=True)).float().argmax(2).numpy()
    assert positions.tolist() == first[images, channels].tolist()
