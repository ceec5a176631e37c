"""Models that tests of heads share."""

import pytest

from tests.embeddings.attention.conftest import circuit

__all__ = ["circuit", "trained", "trained_folder"]


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory):
    """The folder of a decoder that was trained on repeats: eleven seconds of one core, so its tests are slow."""
    pytest.importorskip("transformers")
    from tests.embeddings.attention.small_models import trained_decoder

    folder = tmp_path_factory.mktemp("trained") / "model"
    trained_decoder(folder)
    return folder


@pytest.fixture(scope="session")
def trained(trained_folder):
    """The same, loaded."""
    from corpus_audit.embeddings.models.models import load_model

    return load_model(str(trained_folder), trained_folder.parent, device="cpu", with_head=True)
