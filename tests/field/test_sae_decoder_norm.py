"""SAELens#565: a top-k autoencoder with ``rescale_acts_by_decoder_norm`` chooses by its decoder's norms too.

The setting was ignored: the k latents were those of the largest product with the encoder, and 42 of 48 units of an
index were wrong. Right, as SAELens has it: (x W_enc + b_enc) times the norms of W_dec's rows, and of that the k
highest. The values below are worked out by hand.
"""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.models.autoencoders import load_autoencoder  # noqa: E402
from corpus_audit.embeddings.scan.autoencoder_check import check_autoencoder  # noqa: E402
from corpus_audit.schemas.errors import AuditError  # noqa: E402
from tests.embeddings.sae_files import write_autoencoder  # noqa: E402

X = np.array([[1, 2, -1, 0.5]], np.float32)


@pytest.fixture
def folder(tmp_path):
    weights = {
        "W_enc": np.eye(4),
        "W_dec": np.diag([1, 0.1, 1, 9]),
        "b_enc": np.zeros(4),
        "b_dec": np.zeros(4),
    }
    config = {
        "architecture": "topk",
        "k": 2,
        "rescale_acts_by_decoder_norm": True,
        "d_in": 4,
        "d_sae": 4,
        "metadata": {"hook_name": "blocks.0.hook_resid_post"},
    }
    return write_autoencoder(tmp_path, config, {name: array.astype(np.float32) for name, array in weights.items()})


def latents(folder):
    return torch.cat([tile for _, tile in load_autoencoder(folder).encode(torch.from_numpy(X), 3)], -1).numpy()


def test_the_decoders_norms_choose(folder):
    assert latents(folder).tolist() == [[1, 0, 0, 4.5]]
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | {"rescale_acts_by_decoder_norm": False}))
    assert latents(folder).tolist() == [[1, 2, 0, 0]]


def test_the_check_of_a_build_notices_it_when_it_is_ignored(folder):
    assert check_autoencoder("s", folder, "a hook", X, latents(folder)).largest == 0
    ignored = np.array([[1, 2, 0, 0]], np.float32)
    with pytest.raises(AuditError, match=r"sae\.s: the scan's latents do not follow from .*cfg\.json .*2 of 4"):
        check_autoencoder("s", folder, "a hook", X, ignored)
