"""datasets#2196: processed copies that the datasets library keeps beside the data were counted with it.

A cache folder with the original and ``cache-*.arrow`` gave 12 documents of 6. Right: 6; and of a data set of
``save_to_disk`` the files that its ``state.json`` names.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from corpus_audit.pipelines.reading.snapshot.listing import Listing, list_files
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.spec.audit import SnapshotSpec

COPY = "cache-0123456789abcdef.arrow"
PART = "cache-0123456789abcdef_00001_of_00004.arrow"


def put(folder: Path, *names: str) -> None:
    table = pa.table({"text": [f"document {n}" for n in range(6)]})
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)


def listed(base: Path, *paths: str) -> Listing:
    return list_files(SnapshotSpec(paths=paths), base)


def documents(listing: Listing) -> int:
    return sum(pa.ipc.open_stream(Path(shard.path).read_bytes()).read_all().num_rows for shard in listing.shards)


def reasons(listing: Listing) -> dict[str, str]:
    return {file.name: file.reason.value for file in listing.unread}


@pytest.mark.parametrize("path", ["cache", "cache/*.arrow", "cache/**"])
def test_a_cache_folder(tmp_path: Path, path: str) -> None:
    put(tmp_path / "cache", "set-train.arrow", COPY, PART)
    (tmp_path / "cache" / "dataset_info.json").write_text("{}")
    result = listed(tmp_path, path)
    assert documents(result) == 6
    assert reasons(result).items() >= {COPY: "processed_copy", PART: "processed_copy"}.items()
    assert documents(listed(tmp_path, f"cache/{COPY}")) == 6  # named by itself it is read


def test_a_data_set_of_save_to_disk(tmp_path: Path) -> None:
    files = [f"data-{n:05}-of-00002.arrow" for n in range(2)]
    put(tmp_path / "set", *files, COPY, "indices.arrow")
    state = {"_data_files": [{"filename": name} for name in files], "_split": "train"}
    (tmp_path / "set" / "state.json").write_text(json.dumps(state))
    result = listed(tmp_path, "set")
    assert documents(result) == 12 and [shard.name for shard in result.shards] == files
    assert reasons(result) == {COPY: "processed_copy", "indices.arrow": "not_named", "state.json": "not_data"}
    (tmp_path / "set" / files[1]).unlink()
    with pytest.raises(UsageError, match=rf"state\.json names {files[1]}, which is missing"):
        listed(tmp_path, "set")
    (tmp_path / "set" / "state.json").write_text(json.dumps(state | {"_indices_data_files": [{"filename": "i"}]}))
    with pytest.raises(UsageError, match="selects its rows by an index"):
        listed(tmp_path, "set")


def test_a_copy_that_was_made_the_data_set(tmp_path: Path) -> None:
    put(tmp_path / "set", COPY)
    with pytest.raises(NoVerdictError, match=r"found 1 \.arrow file"):
        listed(tmp_path, "set")
    (tmp_path / "set" / "state.json").write_text(json.dumps({"_data_files": [{"filename": COPY}]}))
    assert documents(listed(tmp_path, "set")) == 6
