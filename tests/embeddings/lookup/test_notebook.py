"""The page's notebook runs; an encoder that is kept loads its model once, in numpy and with torch."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pandas")

from corpus_audit.embeddings.lookup import queries
from corpus_audit.embeddings.lookup.queries import QueryEncoder, query_vector
from corpus_audit.embeddings.scan import encoder as torch_encoder
from corpus_audit.schemas.errors import UsageError
from tests.pages import PAGES, blocks

pytestmark = pytest.mark.slow


def test_the_notebook_of_the_page(encoder_indexes):
    page = "embeddings/lookup/README.md"
    assert page in PAGES
    (code,) = [block.text for block in blocks(page, language="python") if block.heading == "In a notebook"]
    index = encoder_indexes[1]
    for name, here in (('"index"', repr(str(index.folder))), ("mlp.4:446", "mlp.1:5"), ("reading a zip", "w1 w2")):
        assert name in code
        code = code.replace(name, here)
    made = {}
    exec(code, made)
    assert made["frame"]["value"].tolist() == [example.value for example in index.lookup("mlp.1:5", k=5)]
    assert [max(row) for row in made["heat"].to_pylist()] == pytest.approx(made["frame"]["value"].tolist(), rel=1e-5)
    assert (
        made["near"].num_rows == 5
        and made["near"]["value"].to_pylist() == sorted(made["near"]["value"].to_pylist())[::-1]
    )
    assert made["vectors"].shape == (2, index.facts.vectors["width"])


@pytest.mark.parametrize("way", ["numpy", "torch"])
def test_an_encoder_loads_its_model_once(encoder_indexes, way, monkeypatch):
    index = encoder_indexes[1]
    expected = query_vector(index, "w3 w4 w5")
    loads = []
    if way == "torch":
        real = torch_encoder.open_model
        monkeypatch.setattr(queries, "open_numpy_model", lambda *_: None)
        monkeypatch.setattr(torch_encoder, "open_model", lambda *args: loads.append(1) or real(*args))
    else:
        real_light = queries.open_numpy_model
        monkeypatch.setattr(queries, "open_numpy_model", lambda *args: loads.append(1) or real_light(*args))
    with QueryEncoder(index) as encoder:
        for _ in range(2):
            np.testing.assert_allclose(encoder.means(["w3 w4 w5", "w1"])[0], expected, atol=1e-5)
        text = index.lookup("mlp.1:5", k=1)[0].text
        (nearest,) = encoder.search(text, k=1)
        assert nearest.value > 0.8
        with pytest.raises(UsageError, match="no token"):
            encoder.search("")
    assert loads == [1]
