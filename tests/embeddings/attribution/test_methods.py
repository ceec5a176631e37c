"""Methods on functions whose attributions are known: closed forms, identities, and captum's results."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.attribution.methods.faithfulness import faithfulness  # noqa: E402
from corpus_audit.embeddings.attribution.methods.gradients import (  # noqa: E402
    completeness_error,
    gradient_x_input,
    integrate,
    integrated_gradients,
    saliency,
)
from corpus_audit.embeddings.attribution.methods.occlusion import effects, occlusion, single_positions  # noqa: E402
from corpus_audit.embeddings.attribution.methods.randomisation import permuted_weights, spearman  # noqa: E402
from corpus_audit.embeddings.attribution.methods.target import ScalarTarget  # noqa: E402

L, D = 7, 5


def linear(seed=0, rows=3):
    generator = torch.Generator().manual_seed(seed)
    w, x, b = (torch.randn(L, D, generator=generator) for _ in range(3))
    return w, ScalarTarget(lambda batch: (batch * w).sum(dim=(1, 2)) + 2.0, x, b, (1,), rows)


def network(seed=0):
    """A smooth function of a sequence whose positions act together."""
    torch.manual_seed(seed)
    body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(L * D, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    body.requires_grad_(False)
    x, b = torch.randn(L, D), torch.zeros(L, D)
    return body, ScalarTarget(lambda batch: body(batch)[:, 0], x, b, (1,), 4)


def test_of_a_linear_function_every_signed_method_is_the_closed_form():
    w, target = linear()
    of_differences = (w * (target.input - target.baseline)).sum(dim=1).double().numpy()
    result = integrated_gradients(target, 1e-3)
    assert result.converged and result.steps == 16 and result.error < 1e-6
    assert np.allclose(result.values, of_differences, atol=1e-5)
    assert np.allclose(occlusion(target), of_differences, atol=1e-5)
    assert np.allclose(gradient_x_input(target), (w * target.input).sum(dim=1).double().numpy(), atol=1e-5)
    assert np.allclose(saliency(target), w.norm(dim=1).double().numpy(), atol=1e-6)
    assert (result.values < 0).any(), "the values have their signs"


def test_of_an_image_positions_are_pixels():
    w = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1))
    x = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(2))
    target = ScalarTarget(lambda batch: (batch * w).sum(dim=(1, 2, 3)), x, torch.zeros_like(x), (0,))
    expected = (w * x).sum(dim=0).double().numpy()
    assert target.positions == (4, 6) and target.free.all()
    assert np.allclose(integrated_gradients(target, 1e-2).values, expected, atol=1e-5)
    assert np.allclose(occlusion(target), expected, atol=1e-5)
    patches = np.zeros((2, 4, 6), bool)
    patches[0, :2, :3] = patches[1, 1:3, :3] = True
    result, fall = occlusion(target, patches), effects(target, patches)
    assert np.allclose(fall, [expected[:2, :3].sum(), expected[1:3, :3].sum()], atol=1e-5)
    assert np.allclose(result[0, :3], fall[0]) and np.allclose(result[1, :3], fall.mean()) and not result[3].any()


def test_occlusion_of_the_whole_input_is_the_fall_to_the_baseline():
    _, target = network()
    assert effects(target, np.ones((1, L), bool))[0] == pytest.approx(target.value - target.baseline_value, abs=1e-6)
    assert effects(target, np.zeros((1, L), bool))[0] == pytest.approx(0, abs=1e-6)


def test_steps_are_doubled_until_the_integral_is_complete_or_it_is_said_that_it_is_not():
    _, target = network()
    result = integrated_gradients(target, 1e-3)
    assert result.converged and result.error <= 1e-3
    assert result.error == completeness_error(result.values, target)
    # A step at the half: no number of points of a smooth rule comes near at once.
    cliff = ScalarTarget(
        lambda batch: torch.sigmoid(4000 * (batch.mean(dim=(1, 2)) - 0.503)), torch.ones(L, D), torch.zeros(L, D), (1,)
    )
    failed = integrated_gradients(cliff, 1e-3, 16, 64)
    assert not failed.converged and failed.steps == 64 and failed.error > 1e-3
    counted = cliff.evaluations.gradients
    assert counted == 16 + 32 + 64


def test_where_nothing_differs_nothing_is_attributed():
    _, other = linear()
    target = ScalarTarget(other.function, other.input, other.input.clone(), (1,))
    assert not target.free.any() and len(single_positions(target)) == 0
    assert not integrated_gradients(target, 1e-3).values.any() and not occlusion(target).any()
    assert faithfulness(target, np.zeros(L), 0) is None
    zero = ScalarTarget(lambda batch: batch.sum(dim=(1, 2)) * 0, other.input, other.baseline, (1,))
    assert completeness_error(np.zeros(L), zero) == 0 and completeness_error(np.ones(L), zero) == np.inf


def test_captum_computes_the_same():
    attr = pytest.importorskip("captum.attr", reason="captum (extra: oracle) is not installed")
    body, target = network(3)

    def forward(batch):
        return body(batch)[:, 0]

    x, b = target.input[None].clone(), target.baseline[None]
    theirs = attr.Saliency(forward).attribute(x.requires_grad_(True), abs=False)
    assert np.allclose(saliency(target), theirs.norm(dim=2)[0].detach().numpy(), atol=1e-6)
    product = attr.InputXGradient(forward).attribute(x)
    assert np.allclose(gradient_x_input(target), product.sum(dim=2)[0].detach().numpy(), atol=1e-6)
    integral = attr.IntegratedGradients(forward).attribute(x, b, n_steps=32, method="gausslegendre")
    assert np.allclose(integrate(target, 32), integral.sum(dim=2)[0].detach().numpy(), atol=1e-5)
    masks = torch.arange(L).reshape(1, L, 1).expand(1, L, D)
    occluded = attr.FeatureAblation(forward).attribute(x, b, feature_mask=masks)
    assert np.allclose(occlusion(target), occluded[0, :, 0].detach().numpy(), atol=1e-5)


def test_a_true_order_beats_random_ones_and_a_reversed_one_loses():
    w, target = linear(5)
    values = (w * (target.input - target.baseline)).sum(dim=1).double().numpy()
    true, reversed_ = (faithfulness(target, sign * values, 0, orders=20, steps=L) for sign in (1, -1))
    if target.value < target.baseline_value:
        true, reversed_ = reversed_, true
    assert len(true.random) == 20 and true.deletion < true.random[0] and true.insertion > true.random[-1]
    assert reversed_.deletion > true.random[-1] and reversed_.insertion < true.random[0]
    # Of a linear function with one part a step the curve is the sum of what is left: here by hand.
    order = np.argsort(-values, kind="stable") if target.value > target.baseline_value else np.argsort(values)
    curve = 1 - np.concatenate([[0], np.cumsum(values[order])]) / values.sum()
    assert true.deletion == pytest.approx(np.trapezoid(curve, np.linspace(0, 1, L + 1)), abs=1e-5)
    assert true == faithfulness(target, np.sign(target.value - target.baseline_value) * values, 0, 20, L), "seeded"


def test_permuted_weights_are_restored_also_after_an_error():
    body, target = network()
    before = [parameter.clone() for parameter in body.parameters()]
    value = float(target.function(target.input[None]))
    with pytest.raises(KeyError), permuted_weights([body], 1):
        after = list(body.parameters())
        assert all(
            torch.equal(a.sort().values.flatten(), b.sort().values.flatten())
            for a, b in zip([p.flatten() for p in before], [p.flatten() for p in after], strict=True)
        )
        assert float(target.function(target.input[None])) != value
        raise KeyError
    assert all(torch.equal(a, b) for a, b in zip(before, body.parameters(), strict=True))


def test_rank_correlation_is_that_of_scipy():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, 30), rng.normal(size=30)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    assert spearman(np.ones(5), np.arange(5)) is None and spearman(np.arange(2), np.arange(2)) is None
