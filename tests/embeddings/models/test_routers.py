"""Experts of real architectures: logits, choices, examples and load against plain forward passes."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.models.hooks import Taps  # noqa: E402
from corpus_audit.embeddings.models.models import load_model  # noqa: E402
from corpus_audit.embeddings.models.routers import detect_router  # noqa: E402
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, ListSizes  # noqa: E402
from corpus_audit.embeddings.scan.batches import batch_ids, batches  # noqa: E402
from corpus_audit.embeddings.scan.forward import scan  # noqa: E402
from corpus_audit.embeddings.scan.windows import WindowPlan, cut, document_key  # noqa: E402
from corpus_audit.schemas.units import UnitError, check_exists, parse_pattern, parse_unit  # noqa: E402
from tests.embeddings import reference  # noqa: E402
from tests.embeddings.tiny import MIXTURES, write_tiny_mixture  # noqa: E402

EXPERTS = (parse_pattern("expert.*:*"),)
OWN_LOGITS = ("Mixtral", "Qwen2Moe", "Olmoe", "GraniteMoe")
"""Architectures that hand their router logits out."""


@pytest.fixture(scope="module")
def mixture(tmp_path_factory, bpe):
    made = {}

    def of(name):
        if name not in made:
            folder = write_tiny_mixture(tmp_path_factory.mktemp("mixture") / name, bpe, name)
            made[name] = load_model(str(folder), Path("/"), "cpu")
        return made[name]

    return of


def mlp_of(block):
    return next(getattr(block, name) for name in ("feed_forward", "block_sparse_moe", "mlp") if hasattr(block, name))


def watched(model, run):
    """What the experts of each block are really given: indices of those that take each token, int [T, k]."""
    outputs, handles = {}, []

    def keep(b, _module, given):
        outputs[b] = [one.clone() for one in given]

    for b, block in enumerate(model.blocks):
        experts = getattr(mlp_of(block.module), "experts", None)
        if experts is not None:
            handles.append(experts.register_forward_pre_hook(partial(keep, b)))
    output = run()
    for handle in handles:
        handle.remove()
    return outputs, output


@pytest.mark.parametrize("name", MIXTURES)
def test_logits_and_choices_are_those_of_the_model(mixture, name):
    model = mixture(name)
    taps = Taps(model, EXPERTS)
    ids = torch.arange(60).reshape(3, 20) * 31 % 1900
    read = []
    with taps.hooked():
        taps.run(ids, lambda reading: read.append((reading.row, reading.values.clone(), reading.fired)))
    arguments = {"output_router_logits": True} if name in OWN_LOGITS else {}
    with torch.inference_mode():
        given, output = watched(model, lambda: model.module(input_ids=ids, **arguments))
    points = list(taps.selection.indices)
    assert [p.block for p in points] == sorted(given) and len(read) == len(points) > 0
    for n, ((_, values, fired), point) in enumerate(zip(read, points, strict=True)):
        assert values.shape == fired.shape == (3, 20, taps.widths[point])
        if name in OWN_LOGITS:
            assert torch.equal(values.reshape(-1, values.shape[-1]), output.router_logits[n])
        if name == "Llama4Text":  # every expert gets every token, those not chosen times a score of 0
            scored = given[point.block][0].reshape(values.shape[-1], 60, -1).abs().sum(-1).T > 0
            assert torch.equal(fired.reshape(60, -1), scored)
            continue
        chosen = given[point.block][1]
        expected = torch.zeros(60, values.shape[-1], dtype=torch.bool).scatter_(1, chosen, True)
        assert torch.equal(fired.reshape(60, -1), expected)
        largest = torch.zeros_like(expected).scatter_(1, values.reshape(60, -1).topk(chosen.shape[1]).indices, True)
        assert torch.equal(largest, expected) == (name != "DeepseekV3")  # whose choice is corrected, and by groups


def test_routers_that_cannot_be_read_have_no_units():
    gate = torch.nn.Linear(8, 6)
    given = torch.randn(1, 5, 8)
    logits = gate(given)
    assert detect_router(gate, 2, given, logits).logits == 0
    assert detect_router(gate, 0, given, logits) is None  # nobody knows how many experts it chooses
    assert detect_router(gate, 2, given, logits.softmax(-1)) is None
    assert detect_router(gate, 2, torch.randn(1, 5, 9), logits) is None
    assert detect_router(torch.nn.Sequential(gate, torch.nn.Linear(6, 6)), 2, given, logits) is None
    wrapped = detect_router(torch.nn.Sequential(gate), 2, given, (logits.softmax(-1), logits))
    assert wrapped.logits == 1 and wrapped.experts == 6
    _, fired = wrapped.read((None, logits), (1, 5))
    assert torch.equal(fired.sum(-1), torch.full((1, 5), 2))


def test_addresses(mixture):
    taps = Taps(mixture("Qwen2Moe"), EXPERTS)
    check_exists(parse_unit("expert.1:7"), taps.widths)
    for wrong in ("expert.1:8", "expert.0:0", "expert.2:0"):
        with pytest.raises(UnitError, match=r"expert\.1"):
            check_exists(parse_unit(wrong), taps.widths)
    with pytest.raises(UnitError, match=r"there are .*expert\.1 \(8\)"):
        Taps(mixture("Qwen2Moe"), (parse_pattern("expert.0:*"),))
    some = Taps(mixture("Qwen2Moe"), (parse_pattern("expert.1:2-4"),))
    ids = torch.arange(12)[None]
    read = []
    for one in (taps, some):
        with one.hooked():
            one.run(ids, lambda reading: read.append((reading.values.clone(), reading.fired)))
    (values, fired), (part, part_fired) = read
    assert torch.equal(values[..., 2:5], part) and torch.equal(fired[..., 2:5], part_fired)


@pytest.mark.parametrize("name", ["Mixtral", "Qwen2Moe"])
def test_examples_and_load_equal_brute_force(mixture, name):
    model = mixture(name)
    taps = Taps(model, EXPERTS)
    card = model.card
    plan = WindowPlan(16, 0, card.causal, card.prefix, card.suffix, card.special, card.tokenizer)
    rng = np.random.default_rng(2)
    words = [f"{a}{b}" for a in ("al", "be", "ga", "de") for b in ("pha", "ta", "mma", "lta", "zu")]
    texts = [" ".join(rng.choice(words, rng.integers(2, 40))) for _ in range(40)]
    keys = [document_key(str(i), text) for i, text in enumerate(texts)]
    windows = cut(texts, keys, model.tokenizer, plan)
    state = ActivationAccumulator(taps.selection.rows, ListSizes(8, 2, 2, 1), taps.selection.floors())
    domain = state.positions_of([("even", "odd")[d % 2] for d in windows.document])
    group = np.array([keys[d][15] % 16 for d in windows.document])
    with taps.hooked():
        scan(taps, windows, domain, group, state, 256)

    # Plain passes over the same batches, so that values are the same to the last bit, and ties too.
    points = list(taps.selection.indices)
    starts = np.cumsum([0, *(taps.widths[point] for point in points)])
    peak, where = (np.zeros((len(windows), starts[-1]), kind) for kind in (np.float32, np.int64))
    routed = np.zeros((2, 16, starts[-1]), np.int64)
    for chosen in batches(windows.lengths, 256):
        ids = torch.from_numpy(batch_ids(windows, chosen))
        with torch.inference_mode():
            given, output = watched(model, lambda ids=ids: model.module(input_ids=ids, output_router_logits=True))
        logits = torch.cat(output.router_logits, -1).reshape(*ids.shape, -1).numpy()
        for b, window in enumerate(chosen):
            counted = windows.counted[windows.offsets[window] : windows.offsets[window + 1]]
            masked = np.where(counted[:, None], logits[b], -np.inf)
            peak[window], where[window] = masked.max(axis=0), masked.argmax(axis=0)
            for start, point in zip(starts, points, strict=False):
                takers = given[point.block][1].reshape(*ids.shape, -1)[b].numpy()[counted]
                for expert in takers.ravel():
                    routed[domain[window], group[window], start + expert] += 1
    np.testing.assert_array_equal(state.fired, routed)
    assert state.fired.sum() == len(points) * MIXTURES[name]["num_experts_per_tok"] * state.tokens.sum()
    for unit in range(taps.selection.rows):
        filled = state.top.filled[unit]
        columns = (state.top.value, state.top.window, state.top.position)
        result = list(zip(*(column[unit][filled].tolist() for column in columns), strict=True))
        assert result == reference.top_of(peak, where, windows, unit, 8), unit
