"""Partials in files: what is empty takes a bit, and everything comes back bit for bit."""

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.scan.partials import ScanPartial, read_partial, write_partial  # noqa: E402
from corpus_audit.schemas.errors import StoreError  # noqa: E402
from tests.embeddings.made import SIZES, state_of, windows_from  # noqa: E402

TEXTS = ["a few words of one document", "and of another one that is a little longer than it"]
COUNTS = {"dead_letters": 0, "documents": 2, "rows": 2, "tokens": 17, "windows": 3}


def written(folder, rows, selected=None):
    windows, _ = windows_from(TEXTS)
    state = state_of(windows, rows, ["books", "web"], [0, 1], selected=selected)
    empty = pa.table({"x": pa.array([], pa.int64())})
    write_partial(folder, ScanPartial(state, empty, empty, COUNTS))
    return state


@pytest.mark.parametrize("selected", [None, [], [0]])
def test_a_partial_comes_back_bit_for_bit(tmp_path, selected):
    state = written(tmp_path / "partial", 40, selected)
    partial = read_partial(tmp_path / "partial", SIZES, state.floors, with_vectors=False)
    assert partial.counts == COUNTS and partial.state.domains == state.domains
    before, after = state.arrays(), partial.state.arrays()
    assert before.keys() == after.keys()
    for name, array in before.items():
        assert (array.dtype, array.shape, array.tobytes()) == (
            after[name].dtype,
            after[name].shape,
            np.ascontiguousarray(after[name]).tobytes(),
        ), name


def test_units_without_examples_take_little(tmp_path):
    """Bytes a unit without any activation; the lists in memory take 22 bytes a slot."""
    state = written(tmp_path / "partial", 4000, [])
    size = (tmp_path / "partial" / "state.npz").stat().st_size
    held = sum(array.nbytes for array in state.arrays().values())
    assert size < held / 25, (size, held)


def test_a_damaged_partial_is_refused(tmp_path):
    written(tmp_path / "partial", 4)
    path = tmp_path / "partial" / "state.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(StoreError, match="cannot be read"):
        read_partial(tmp_path / "partial", SIZES, np.full(4, -np.inf, np.float32), with_vectors=False)
