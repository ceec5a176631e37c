"""A model that tests of attention share."""

import pytest


@pytest.fixture(scope="session")
def circuit(tmp_path_factory):
    """A model with a hand-built induction circuit."""
    pytest.importorskip("transformers")
    from tests.embeddings.attention.small_models import induction_circuit

    return induction_circuit(tmp_path_factory.mktemp("circuit") / "model")
