"""Activation maximisation: a linear unit has a known maximum; of a real network, transforms that were not seen."""

import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.attribution.images.methods.maximisation import (  # noqa: E402
    HELD_OUT,
    MaximisationSettings,
    maximise,
    transformed_copies,
)
from corpus_audit.embeddings.attribution.images.model_unit import of_colours  # noqa: E402
from tests.embeddings.attribution.images.small_networks import pooled  # noqa: E402
from tests.embeddings.images.image_models import lite0  # noqa: E402

STILL = {"pad": 0.0, "jitter": 0.0, "scale": 0.0}


def test_the_prototype_of_a_linear_unit_in_a_ball_is_its_kernel():
    torch.manual_seed(1)
    conv = torch.nn.Conv2d(3, 4, 5).requires_grad_(False)
    settings = MaximisationSettings(steps=250, radius=2.0, **STILL)
    result = maximise(lambda batch: conv(batch)[:, 2, 3, 3], (3, 11, 11), settings)
    kernel = torch.zeros(3, 11, 11)
    kernel[:, 3:8, 3:8] = conv.weight[2]
    cosine = float((result.image * kernel).sum() / kernel.norm() / result.image.norm())
    assert cosine > 0.999 and float(result.image.norm()) == pytest.approx(2, rel=1e-5)
    assert result.value == pytest.approx(2 * float(kernel.norm()) + float(conv.bias[2]), rel=1e-3)
    assert (result.held_out == result.held_out[0]).all(), "no transforms"


def test_the_seed_decides_the_image_and_pixels_are_colours():
    network = pooled()
    first, again, other = (
        maximise(lambda batch: network(batch)[:, 1], (3, 16, 20), MaximisationSettings(steps=12, seed=seed))
        for seed in (3, 3, 4)
    )
    assert first.image.shape == (3, 16, 20) and float(first.image.min()) >= 0 and float(first.image.max()) <= 1
    assert torch.equal(first.image, again.image) and (first.held_out == again.held_out).all()
    assert not torch.equal(first.image, other.image)
    assert len(set(first.held_out.tolist())) == HELD_OUT and first.transformed.shape == (HELD_OUT, 3, 16, 20)
    grey = float(network(torch.full((1, 3, 16, 20), 0.5))[0, 1])
    assert first.value > grey and first.held_out.mean() > grey


def test_transforms_shift_and_scale_by_no_more_than_they_say():
    picture = torch.full((3, 40, 40), 0.5)
    picture[:, 20, 20] = 1.0
    copies = transformed_copies(picture, MaximisationSettings())
    assert copies.shape == (HELD_OUT, 3, 40, 40) and float(copies.min()) >= 0.5 - 1e-6
    peaks = [divmod(int(copy[0].argmax()), 40) for copy in copies]
    assert len(set(peaks)) > 4 and all(abs(y - 20) <= 4 and abs(x - 20) <= 4 for y, x in peaks)
    assert torch.equal(transformed_copies(picture, MaximisationSettings(**STILL))[5], picture)


@pytest.mark.slow
def test_a_prototype_of_lite0_is_of_its_class_under_transforms_that_it_has_not_seen():
    model, dalmatian = lite0(), 251

    def logits(batch):
        return model.run(of_colours(model, batch))

    def of_class(batch):
        return logits(batch)[:, dalmatian]

    moved = MaximisationSettings(steps=96)
    result = maximise(of_class, (3, 128, 128), moved)
    assert float((logits(result.transformed).argmax(dim=1) == dalmatian).float().mean()) >= 0.9
    assert result.held_out.mean() > 30
    still = maximise(of_class, (3, 128, 128), MaximisationSettings(steps=48, **STILL))
    copies = transformed_copies(still.image, moved)
    assert float((logits(copies).argmax(dim=1) == dalmatian).float().mean()) < 0.5
