"""The scan of maps against a full sort of all activations, in value, position and order; parts merge to the whole."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.images import map_scan  # noqa: E402
from corpus_audit.embeddings.images.map_scan import ImageInput, scan_images  # noqa: E402
from corpus_audit.embeddings.images.reading import read_maps  # noqa: E402
from corpus_audit.embeddings.index.bins import histogram_edges  # noqa: E402
from corpus_audit.embeddings.models.selection import Selection  # noqa: E402
from corpus_audit.embeddings.scan.accumulator import GROUPS, ActivationAccumulator, ListSizes  # noqa: E402
from corpus_audit.embeddings.scan.partials import COUNTS, ScanPartial, read_partial, write_partial  # noqa: E402
from corpus_audit.schemas.errors import AuditError  # noqa: E402
from corpus_audit.schemas.tables.activation_tables import WINDOWS  # noqa: E402
from corpus_audit.schemas.units import parse_pattern, select  # noqa: E402
from tests.embeddings.images.image_models import Inception, SmallResNet, image_model, lite0  # noqa: E402

SIZES = ListSizes(top=7, domain=3, minima=4, samples=1)
DOMAINS = ["photos", "drawings", "scans"]


class Corpus:
    """Images of noise and of few colours, so that there are ties, with names, domains, and a copy of an image."""

    def __init__(self, model, count, seed=0):
        rng = np.random.default_rng(seed)
        height, width = model.input_size
        self.model = model
        shape = (count, 3, height // 4, width // 4)
        coarse = torch.from_numpy(rng.integers(0, 3, shape).astype(np.float32) - 1)
        self.inputs = torch.nn.functional.interpolate(coarse, size=(height, width))
        self.inputs[::3] += torch.from_numpy(rng.normal(size=self.inputs[::3].shape).astype(np.float32))
        self.window = rng.permutation(10**6)[:count].astype(np.uint64) * np.uint64(7919)
        self.context = self.window.copy()
        self.domain = rng.integers(0, len(DOMAINS), count)
        self.group = rng.integers(0, GROUPS, count)
        if count > 20:  # a copy of a file under another name, in the same domain
            self.inputs[11], self.context[11], self.domain[11] = self.inputs[5], self.context[5], self.domain[5]

    def inputs_of(self, indices):
        for i in indices:
            numbers = (self.window[i], self.context[i], self.domain[i], self.group[i])
            yield ImageInput(self.inputs[i], *map(int, numbers))

    def scan(self, selection, indices, batch):
        state = ActivationAccumulator(selection.rows, SIZES, selection.floors(), DOMAINS)
        scan_images(self.model, selection, self.inputs_of(indices), state, batch)
        return state


def selection_of(model, patterns=("conv.*:*", "logit:*")):
    return Selection(select([parse_pattern(text) for text in patterns], model.units.widths()))


def brute_force(corpus, selection, batch):
    """Peak and its first position of every image and unit, [N, R], by plain passes over the same shape of batch."""
    points = [corpus.model.units.of(point) for point in selection.indices]
    count = len(corpus.inputs)
    peaks, positions = [], []
    for start in range(0, count, batch):
        inputs = corpus.inputs[[min(i, count - 1) for i in range(start, start + batch)]]
        with torch.inference_mode():
            maps = read_maps(corpus.model, inputs, points)
        flat = [maps[p].reshape(batch, p.channels, -1)[:, torch.from_numpy(selection.indices[p.point])] for p in points]
        peaks.append(torch.cat([each.amax(2) for each in flat], 1)[: count - start].numpy())
        positions.append(torch.cat([each.argmax(2) for each in flat], 1)[: count - start].numpy())
    return np.concatenate(peaks), np.concatenate(positions)


def sorted_list(corpus, peak, position, unit, k, among, sign=1):
    """(value, window, position) of the first k of distinct files, by value descending, then name ascending."""
    among = np.asarray(among)
    among = among[np.lexsort((corpus.window[among], -sign * peak[among, unit]))]
    first_of_file = np.sort(np.unique(corpus.context[among], return_index=True)[1])
    best = among[first_of_file[:k]]
    return [(sign * float(peak[i, unit]), int(corpus.window[i]), int(position[i, unit])) for i in best]


def stored_list(lists, unit):
    columns = lists.value[unit], lists.window[unit], lists.position[unit]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [row for row in rows if row[1] != 2**64 - 1]


def check_lists(corpus, state, peak, position, units):
    everything = range(len(corpus.inputs))
    for unit in units:
        assert stored_list(state.top, unit) == sorted_list(corpus, peak, position, unit, SIZES.top, everything)
        lowest = sorted_list(corpus, peak, position, unit, SIZES.minima, everything, -1)
        assert stored_list(state.minima, unit) == lowest
        for d in range(len(DOMAINS)):
            among = np.flatnonzero(corpus.domain == d)
            expected = sorted_list(corpus, peak, position, unit, SIZES.domain, among)
            assert stored_list(state.by_domain[d], unit) == expected


@pytest.fixture(scope="module")
def residual():
    model = image_model(SmallResNet(), (32, 32))
    corpus, selection = Corpus(model, 120), selection_of(model)
    return corpus, selection, {batch: brute_force(corpus, selection, batch) for batch in (8, 5)}


def parts_of(count, parts):
    return np.array_split(np.random.default_rng(parts).permutation(count), parts)


CONFIGURATIONS = [(8, 1, 1), (5, 1, 1), (8, 4, 1), (8, 9, 2), (5, 7, 3), (8, 3, 3)]
"""Images of a batch, parts of the corpus, workers at once."""


def merged_scan(corpus, selection, batch, parts, workers, tmp_path):
    """The merged accumulators of parts in random order, each written and read."""
    with ThreadPoolExecutor(workers) as pool:
        cut = parts_of(len(corpus.inputs), parts)
        states = list(pool.map(lambda part: corpus.scan(selection, part, batch), cut))
    merged = ActivationAccumulator(selection.rows, SIZES, selection.floors(), DOMAINS)
    for number, state in enumerate(states):
        empty = WINDOWS.empty_table()
        partial = ScanPartial(state, empty, empty, dict.fromkeys(COUNTS, 0))
        write_partial(tmp_path / str(number), partial)
        merged.merge(read_partial(tmp_path / str(number), SIZES, selection.floors(), False).state)
    return merged


@pytest.mark.parametrize(("batch", "parts", "workers"), CONFIGURATIONS)
def test_lists_equal_a_full_sort_however_the_corpus_is_cut(residual, batch, parts, workers, tmp_path):
    corpus, selection, expected = residual
    merged = merged_scan(corpus, selection, batch, parts, workers, tmp_path)
    check_lists(corpus, merged, *expected[batch], range(selection.rows))


@pytest.mark.slow
def test_lists_of_two_thousand_images_equal_a_full_sort(tmp_path):
    model = image_model(SmallResNet(), (32, 32))
    corpus, selection = Corpus(model, 2000), selection_of(model)
    expected = {batch: brute_force(corpus, selection, batch) for batch in (8, 5)}
    for number, (batch, parts, workers) in enumerate(CONFIGURATIONS):
        merged = merged_scan(corpus, selection, batch, parts, workers, tmp_path / str(number))
        check_lists(corpus, merged, *expected[batch], range(number, selection.rows, 6))


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
    check_lists(corpus, state, *brute_force(corpus, selection, 4), range(selection.rows))


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
    check_lists(corpus, state, *brute_force(corpus, selection, 12), range(0, selection.rows, 23))


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
