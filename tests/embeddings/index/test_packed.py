"""Packed arrays come out as they went in, unit by unit and whole; what is damaged is refused."""

import numpy as np
import pytest

from corpus_audit.embeddings import open_index
from corpus_audit.embeddings.index.packed import UNITS_A_BLOCK, read_packed, write_packed
from corpus_audit.schemas.errors import StoreError
from tests.embeddings.made import write_small_index


@pytest.mark.parametrize("units", [1, UNITS_A_BLOCK, 2 * UNITS_A_BLOCK + 7])
@pytest.mark.parametrize(
    ("name", "kind", "others"),
    [("total", "f4", (3, 16)), ("fired", "u2", (2, 16)), ("histogram", "u4", (65,)), ("samples.row", "u1", (17, 0))],
)
def test_as_it_was_written(tmp_path, name, kind, others, units):
    axis = 2 if name in ("total", "fired") else 0
    rng = np.random.default_rng(0)
    shape = (*others[:axis], units, *others[axis:])
    array = np.where(rng.random(shape) < 0.5, 0, rng.integers(0, 2**31, shape)).astype(kind)
    facts = write_packed(tmp_path, name, array)
    packed = read_packed(tmp_path / f"{name}.blocks", tmp_path / f"{name}.starts.npy", name, facts)
    whole = packed.whole()
    assert whole.dtype == array.dtype and whole.flags.c_contiguous and np.array_equal(whole, array)
    for unit in {0, units // 2, units - 1}:
        assert np.array_equal(packed.of_unit(unit), array.take(unit, axis))


def test_zeros_take_no_room(tmp_path):
    write_packed(tmp_path, "histogram", np.zeros((10_000, 65), np.uint16))
    assert (tmp_path / "histogram.blocks").stat().st_size < 10_000


@pytest.mark.parametrize("name", ["histogram", "samples.value"])
def test_damage_is_refused(tmp_path, name):
    folder, *_ = write_small_index(tmp_path / "index")
    path = folder / "arrays" / f"{name}.blocks"
    data = bytearray(path.read_bytes())
    path.write_bytes(bytes([0, *data[1:]]))  # no zstd frame
    for read in (lambda index: index.of_unit(name, 0), lambda index: index.array(name)):
        with pytest.raises(StoreError, match="is damaged"):
            read(open_index(folder))
    path.write_bytes(bytes(data[:-1]))
    with pytest.raises(StoreError, match="the index is damaged"):
        open_index(folder).of_unit(name, 0)
