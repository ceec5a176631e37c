"""How activations are arranged is established by values, and a shape that does not fit is refused."""

import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.architecture.layouts import Layout  # noqa: E402
from corpus_audit.schemas.errors import AuditError  # noqa: E402

VALUES = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0))
MADE = {
    Layout.BATCH_FIRST: lambda values: values,
    Layout.FLAT: lambda values: values.reshape(-1, values.shape[-1]),
    Layout.LENGTH_FIRST: lambda values: values.transpose(0, 1),
}


@pytest.mark.parametrize("layout", MADE)
def test_a_layout_is_found_again(layout):
    made = MADE[layout]
    assert Layout.detect(made(VALUES), made(VALUES[1:2]), (3, 7), 1) is layout
    assert torch.equal(layout.arrange(made(VALUES), (3, 7), "mlp.0"), VALUES)


def test_what_depends_on_other_texts_has_no_layout():
    assert Layout.detect(VALUES + VALUES.mean(dim=0, keepdim=True), VALUES[1:2], (3, 7), 1) is None
    assert Layout.detect(VALUES[None], VALUES[None, 1:2], (3, 7), 1) is None
    assert Layout.detect(VALUES.transpose(1, 2), VALUES[1:2].transpose(1, 2), (3, 7), 1) is None


def test_flattened_with_the_length_first_has_no_layout():
    mixed = VALUES.transpose(0, 1).reshape(21, 4)
    assert Layout.detect(mixed, VALUES[1:2].reshape(7, 4), (3, 7), 1) is None


def test_padding_at_the_end_counts_only_where_it_is_known():
    padded = torch.cat([VALUES, torch.zeros(3, 5, 4)], dim=1)
    assert Layout.detect(padded, padded[1:2], (3, 7), 1) is None
    assert Layout.detect(padded, padded[1:2], (3, 7), 1, padded=12) is Layout.PADDED
    assert torch.equal(Layout.PADDED.arrange(padded, (3, 7), "mlp.0"), VALUES)


@pytest.mark.parametrize("shape", [(7, 3, 4), (3, 6, 4), (3, 7, 2, 4), (21, 4), (3, 7)])
def test_a_surprising_shape_is_refused(shape):
    with pytest.raises(AuditError, match=r"mlp\.0: the model computes activations of the shape"):
        Layout.BATCH_FIRST.arrange(torch.zeros(shape), (3, 7), "mlp.0")
