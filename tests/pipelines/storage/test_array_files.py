"""Files of arrays: what was written is mapped, aligned and read-only; whatever is damaged is refused."""

from pathlib import Path

import numpy as np
import pytest

from corpus_audit.pipelines.storage.array_files import check_arrays, map_arrays, write_arrays
from corpus_audit.schemas.errors import StoreError

MAGIC = b"test arrays 1\n"
ARRAYS = {"a": np.arange(5, dtype=np.int32), "none": np.empty(0, np.int64), "b": np.array([1.5, -2.0])}


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "below" / "file"
    return path, write_arrays(path, MAGIC, ARRAYS, {"names": ["x", "ä"]})


def test_arrays_come_back(written: tuple[Path, str]) -> None:
    arrays, header = map_arrays(written[0], MAGIC, written[1])
    check_arrays(written[0])
    assert header == {"names": ["x", "ä"]} and list(arrays) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].tolist() == array.tolist()
        assert arrays[name].ctypes.data % 64 == 0 or not array.size
        assert not arrays[name].flags.writeable


def test_every_byte_that_changes_is_seen(written: tuple[Path, str]) -> None:
    path, _ = written
    data = path.read_bytes()
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(StoreError, match="digest does not match"):
            check_arrays(path)


@pytest.mark.parametrize("size", [0, 5, 40, -1])
def test_files_that_are_cut_are_refused(written: tuple[Path, str], size: int) -> None:
    path, sha256 = written
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StoreError):
        map_arrays(path, MAGIC, sha256)
    with pytest.raises(StoreError):
        check_arrays(path)


def test_other_files_are_refused(written: tuple[Path, str], tmp_path: Path) -> None:
    path, sha256 = written
    with pytest.raises(StoreError, match="not a file of this version"):
        map_arrays(path, b"test arrays 2\n", sha256)
    with pytest.raises(StoreError, match="not the file that its index names"):
        map_arrays(path, MAGIC, "00" * 32)
    with pytest.raises(StoreError, match="cannot read"):
        map_arrays(tmp_path / "nothing", MAGIC, sha256)


def test_a_header_that_is_no_header_is_refused(written: tuple[Path, str]) -> None:
    path, sha256 = written
    data = bytearray(path.read_bytes())
    data[-40:-32] = (10).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(StoreError, match="its header cannot be read"):
        map_arrays(path, MAGIC, sha256)
