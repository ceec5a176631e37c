"""Top lists by plain passes and a full sort, against which the scan of maps is tested; and scans of a cut corpus."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.images.map_scan import ImageInput, scan_images  # noqa: E402
from corpus_audit.embeddings.images.reading import read_maps  # noqa: E402
from corpus_audit.embeddings.models.selection import Selection  # noqa: E402
from corpus_audit.embeddings.scan.accumulator import GROUPS, ActivationAccumulator, ListSizes  # noqa: E402
from corpus_audit.embeddings.scan.partials import COUNTS, ScanPartial, read_partial, write_partial  # noqa: E402
from corpus_audit.schemas.tables.activation_tables import WINDOWS  # noqa: E402
from corpus_audit.schemas.units import parse_pattern, select  # noqa: E402

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
        positions.append(torch.cat([each.argmax(2).int() for each in flat], 1)[: count - start].numpy())
    return np.concatenate(peaks), np.concatenate(positions)


def sorted_lists(
    corpus: Corpus, peak: np.ndarray, position: np.ndarray, k: int, among: np.ndarray, sign: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, window and position of every unit's first k of distinct files, [R, k] each, by a full sort.

    By value descending (``sign`` -1: of the lowest, times -1), then name ascending. Of files with the same bytes only
    the first counts.
    """
    among = among[np.argsort(corpus.window[among], kind="stable")]
    first = k + len(among) - len(np.unique(corpus.context[among]))  # as many as copies could displace
    rows = np.argsort(-sign * peak[among], axis=0, kind="stable")[:first]
    image = among[rows]
    files = corpus.context[image]
    copy = np.zeros(files.shape, np.bool_)
    for later in range(1, len(files)):
        copy[later] = (files[:later] == files[later]).any(0)
    image = np.take_along_axis(image, np.argsort(copy, axis=0, kind="stable")[:k], 0)
    values = sign * np.take_along_axis(peak, image, 0)
    return values.T, corpus.window[image].T, np.take_along_axis(position, image, 0).T


def check_lists(corpus: Corpus, state: ActivationAccumulator, peak: np.ndarray, position: np.ndarray) -> int:
    """Compare every list of every unit with a full sort; returns how many entries were compared.

    Raises:
        AssertionError: a value, a window, a position or the order differs.
    """
    everything = np.arange(len(corpus.inputs))
    lists = [(state.top, SIZES.top, everything, 1), (state.minima, SIZES.minima, everything, -1)]
    for d in range(len(DOMAINS)):
        lists.append((state.by_domain[d], SIZES.domain, np.flatnonzero(corpus.domain == d), 1))
    compared = 0
    for stored, k, among, sign in lists:
        values, windows, positions = sorted_lists(corpus, peak, position, k, among, sign)
        for mine, expected in ((stored.value, values), (stored.window, windows), (stored.position, positions)):
            np.testing.assert_array_equal(mine, expected)
        compared += values.size
    return compared


def parts_of(count, parts):
    return np.array_split(np.random.default_rng(parts).permutation(count), parts)


CONFIGURATIONS: list[tuple[int, int, int]] = [(8, 1, 1), (5, 1, 1), (8, 4, 1), (8, 9, 2), (5, 7, 3), (8, 3, 3)]
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
