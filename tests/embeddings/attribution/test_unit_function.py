"""Units of small models as functions of word embeddings, against plain passes and autograd of `transformers`."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.attribution.methods.gradients import gradient_x_input, integrated_gradients  # noqa: E402
from corpus_audit.embeddings.attribution.methods.names import BaselineToken  # noqa: E402
from corpus_audit.embeddings.attribution.methods.occlusion import effects, occlusion  # noqa: E402
from corpus_audit.embeddings.attribution.methods.target import ScalarTarget  # noqa: E402
from corpus_audit.embeddings.attribution.unit_function import UnitFiles, open_unit, peak  # noqa: E402
from corpus_audit.embeddings.models.autoencoders import load_autoencoder  # noqa: E402
from corpus_audit.embeddings.models.hooks import Directions, Taps  # noqa: E402
from corpus_audit.embeddings.models.models import load_model  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.units import UnitError, UnitPattern, parse_unit  # noqa: E402
from tests.embeddings.attribution.word_models import VOCABULARY, write_decoder, write_encoder  # noqa: E402
from tests.embeddings.sae_files import random_weights, write_autoencoder  # noqa: E402
from tests.embeddings.tiny import write_tiny_mixture  # noqa: E402

KINDS = ("mlp.1:7", "mlp.0:3", "resid.1:5", "head.1:2", "sae.some:4", "sae.top:9", "dir.probe:1", "logit:20")
IDS = [int(i) for i in np.random.default_rng(1).integers(4, len(VOCABULARY), 20)]
POSITION = 13


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(3)
    common = {"d_in": 32, "d_sae": 40, "hook_name": "blocks.1.hook_resid_post", "dtype": "float32"}
    write_autoencoder(folder / "some", common | {"architecture": "jumprelu"}, random_weights(rng, 32, 40, "jumprelu"))
    top = common | {"architecture": "topk", "activation_fn": "topk", "activation_fn_kwargs": {"k": 20}}
    write_autoencoder(folder / "top", top, random_weights(rng, 32, 40))
    write_decoder(folder / "decoder")
    write_encoder(folder / "encoder")
    return folder


@pytest.fixture(scope="module")
def files(folders):
    vectors = torch.from_numpy(np.random.default_rng(8).normal(size=(3, 32)).astype(np.float32))
    saes = {name: load_autoencoder(folders / name) for name in ("some", "top")}
    return UnitFiles(saes, {"probe": Directions(0, vectors)})


@pytest.fixture(scope="module")
def decoder(folders):
    return load_model(str(folders / "decoder"), folders, "cpu", with_head=True)


@pytest.fixture(scope="module")
def encoder(folders):
    return load_model(str(folders / "encoder"), folders, "cpu")


def in_scan(model, unit, files, ids):
    """The unit's activations as the scan reads them, float64 [L]."""
    own = () if unit.point.name else (UnitPattern(str(unit.point), unit.index, unit.index),)
    taps = Taps(model, own, *(() if own else (files.saes, files.directions)))
    row = taps.rows_of(unit.point.kind, unit.point.name)[0] + unit.index if unit.point.name else 0
    seen = []

    def sink(activations):
        first, width = activations.row, activations.values.shape[-1]
        if activations.highest and first <= row < first + width:
            seen.append(activations.values[0, :, row - first].double().numpy())

    with taps.hooked():
        taps.run(torch.tensor([ids]), sink)
    return seen[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_unit_is_what_the_scan_reads_and_integrates_to_its_change(decoder, files, kind):
    unit = parse_unit(kind)
    expected = in_scan(decoder, unit, files, IDS)
    position = int(np.abs(expected).argmax()) if unit.point.name else POSITION  # a latent that is not 0
    with open_unit(decoder, unit, files) as function:
        values = function.activations(torch.tensor([IDS]))[0].numpy()
        assert np.allclose(values, expected, rtol=1e-5, atol=1e-5)
        name, baseline = function.baseline_embedding(BaselineToken.AUTO)
        target = function.target(IDS, position, baseline)
        assert name == "mean" and target.value == pytest.approx(expected[position], rel=1e-4, abs=1e-5)
        if kind == "sae.some:4":
            return  # its threshold is a jump, which no gradient sees: completeness cannot be asked for
        result = integrated_gradients(target, 1e-3)
        assert result.converged and result.error <= 1e-3 and result.values.any()
        whole = effects(target, target.free[None])
        assert whole[0] == pytest.approx(target.value - target.baseline_value, abs=1e-4)


@pytest.mark.slow
def test_a_routers_logit_is_a_unit_too(tmp_path, bpe):
    model = load_model(str(write_tiny_mixture(tmp_path / "model", bpe, "Mixtral")), tmp_path, "cpu")
    unit = parse_unit("expert.1:2")
    with open_unit(model, unit, UnitFiles()) as function:
        assert np.allclose(
            function.activations(torch.tensor([IDS]))[0].numpy(), in_scan(model, unit, UnitFiles(), IDS), atol=1e-5
        )
        _, baseline = function.baseline_embedding(BaselineToken.AUTO)
        target = function.target(IDS, POSITION, baseline)
        assert integrated_gradients(target, 5e-2).values.any() and occlusion(target).any()


def test_tokens_after_the_peak_have_no_part_and_earlier_ones_have_that_of_the_whole_window(decoder):
    """A causal model's window is cut behind the peak; here the whole window by autograd of plain `transformers`."""
    unit = parse_unit("mlp.1:7")
    seen = []
    down = decoder.module.transformer.h[1].mlp.c_proj
    handle = down.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    embeddings = decoder.module.transformer.wte(torch.tensor([IDS])).detach().requires_grad_(True)
    try:
        decoder.module(inputs_embeds=embeddings)
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(seen[0][0, POSITION, 7], embeddings)
    assert not gradient[0, POSITION + 1 :].any() and gradient[0, : POSITION + 1].any(dim=1).all()
    with open_unit(decoder, unit, UnitFiles()) as function:
        _, baseline = function.baseline_embedding(BaselineToken.MEAN)
        target = function.target(IDS, POSITION, baseline)
        assert target.positions == (POSITION + 1,)
        plain = (gradient * embeddings).sum(dim=2)[0, : POSITION + 1].detach().double().numpy()
        assert np.allclose(gradient_x_input(target), plain, rtol=1e-3, atol=1e-4)
        # Without the cut: later tokens are replaced, and nothing changes.
        ids = torch.tensor(IDS)
        x = function.embed(ids)
        full = ScalarTarget(lambda batch: function.at(ids, batch)[:, POSITION], x, baseline.expand_as(x), (1,))
        parts = integrated_gradients(full, 1e-3).values
        assert not parts[POSITION + 1 :].any() and not occlusion(full)[POSITION + 1 :].any()
        assert np.allclose(parts[: POSITION + 1], integrated_gradients(target, 1e-3).values, atol=1e-4)


def test_of_an_encoder_special_tokens_stay_and_masks_stand_for_words(encoder):
    ids = [1, *IDS, 2]
    with open_unit(encoder, parse_unit("mlp.1:7"), UnitFiles()) as function:
        name, baseline = function.baseline_embedding(BaselineToken.AUTO)
        assert name == "mask" and torch.equal(baseline, function.embed(torch.tensor(3)))
        position, value = peak(function, ids, np.arange(len(ids)) == 5)
        target = function.target(ids, position, baseline)
        assert position == 5 and target.value == pytest.approx(value, rel=1e-5)
        assert target.positions == (22,) and target.free.tolist() == [False, *[True] * 20, False]
        masked = [1, *[3] * 20, 2]
        assert target.baseline_value == pytest.approx(
            float(function.activations(torch.tensor([masked]))[0, 5]), rel=1e-4
        )
        result = integrated_gradients(target, 1e-3)
        assert result.converged and result.values[6:21].any() and not result.values[[0, 21]].any()
        # Occlusion of a token is the pass with a mask in its place.
        ablated = [*ids[:9], 3, *ids[10:]]
        fall = value - float(function.activations(torch.tensor([ablated]))[0, 5])
        assert occlusion(target)[9] == pytest.approx(fall, abs=1e-5)


def test_blocks_above_the_unit_do_not_run(decoder):
    ran = []
    handle = decoder.module.transformer.h[1].register_forward_hook(lambda *_: ran.append(1))
    try:
        with open_unit(decoder, parse_unit("mlp.0:3"), UnitFiles()) as function:
            ran.clear()
            function.activations(torch.tensor([IDS]))
            assert not ran and len(function.at_or_below()) == 1
        with open_unit(decoder, parse_unit("logit:5"), UnitFiles()) as function:
            function.activations(torch.tensor([IDS]))
            assert ran and len(function.at_or_below()) == 2
    finally:
        handle.remove()


def test_what_cannot_be_attributed_is_refused(decoder, monkeypatch):
    with (
        pytest.raises(UnitError, match=r"indices of mlp\.1 end at 127"),
        open_unit(decoder, parse_unit("mlp.1:128"), UnitFiles()),
    ):
        pass
    with open_unit(decoder, parse_unit("mlp.0:3"), UnitFiles()) as function:
        assert function.baseline_embedding(BaselineToken.MASK)[0] == "mask"
        assert function.baseline_embedding(BaselineToken.ZERO)[0] == "zero"
    monkeypatch.setattr(type(decoder.module), "get_input_embeddings", lambda self: None)
    with (
        pytest.raises(UsageError, match="has no word embeddings"),
        open_unit(decoder, parse_unit("mlp.0:3"), UnitFiles()),
    ):
        pass
    monkeypatch.setattr(type(decoder.module), "get_input_embeddings", lambda self: torch.nn.Embedding(200, 32))
    unused = open_unit(decoder, parse_unit("mlp.0:3"), UnitFiles())
    with unused as function, pytest.raises(UsageError, match="does not use its word embeddings"):
        function.at(torch.tensor(IDS), torch.zeros(1, len(IDS), 32))
