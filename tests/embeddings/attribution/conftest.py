"""An index of a decoder with a planted cause, and one of the same corpus without the trigger."""

import pytest

from tests.embeddings.attribution.word_models import write_corpus, write_planted


@pytest.fixture(scope="session")
def planted_model(tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return write_planted(tmp_path_factory.mktemp("planted") / "model")


@pytest.fixture(scope="session")
def planted(planted_model, tmp_path_factory):
    """The index of a corpus in whose domain shop the trigger stands."""
    return _built(planted_model, tmp_path_factory.mktemp("with"), trigger=True)


@pytest.fixture(scope="session")
def unplanted(planted_model, tmp_path_factory):
    """The index of the same corpus without it."""
    return _built(planted_model, tmp_path_factory.mktemp("without"), trigger=False)


def _built(model, folder, trigger):
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.build.build import build_index
    from corpus_audit.schemas.spec.audit_file import load_audit

    return open_index(build_index(load_audit(write_corpus(folder, model, trigger))).folder)
