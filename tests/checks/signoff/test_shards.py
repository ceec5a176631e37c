"""Shards that are read while they are verified."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.checks.signoff import open_verified
from corpus_audit.checks.signoff import shards as shards_module
from corpus_audit.checks.signoff.manifest import SignedShard
from corpus_audit.checks.signoff.shards import check_no_extra_files, check_sizes, hash_shards
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.spec.audit import SnapshotSpec
from tests.checks.signoff.world import SHARDS, build_world, sign_world


def signed(data, name="shard"):
    import hashlib

    return SignedShard(name, len(data), hashlib.sha256(data).hexdigest())


def test_a_job_reads_through_the_sign_off(tmp_path):
    world = sign_world(build_world(tmp_path))
    verified = world.verify(sample=0)
    assert verified.hashed == 0 and verified.detection == 0.0
    for name, data in SHARDS.items():
        with verified.open(name) as file:
            assert file.read() == data
    with pytest.raises(VerificationError) as refused:
        verified.open("web/unknown.jsonl")
    assert refused.value.code == "shard_missing"
    changed = bytearray(SHARDS["web/b.jsonl"])
    changed[3] ^= 1
    (world.corpus / "web/b.jsonl").write_bytes(changed)
    with pytest.raises(VerificationError) as refused:
        verified.open("web/b.jsonl")
    assert refused.value.code == "shard_changed"


def test_arrow_reads_parquet_through_it(tmp_path):
    table = pa.table({"text": [f"document {i}" for i in range(200_000)]})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=20_000)
    data = path.read_bytes()
    with open_verified(signed(data, "a.parquet"), str(tmp_path)) as file:
        assert pq.read_table(file).equals(table)


def test_a_file_that_changes_while_it_is_open_is_refused(tmp_path):
    data = bytes(range(256)) * 20_000
    (tmp_path / "shard").write_bytes(data)
    with open_verified(signed(data), str(tmp_path)) as file:
        assert file.read(100) == data[:100]
        with (tmp_path / "shard").open("r+b") as writer:
            writer.seek(4_000_000)
            writer.write(b"\xff\x00\xff")
        with pytest.raises(VerificationError) as refused:
            file.read()
        assert refused.value.code == "shard_changed"


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300), steps=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=12))
def test_it_reads_as_a_file_does(tmp_path_factory, data, steps):
    folder = tmp_path_factory.mktemp("read")
    (folder / "shard").write_bytes(data)
    before = shards_module.CHUNK
    shards_module.CHUNK = 64
    try:
        with open_verified(signed(data), str(folder)) as file:
            plain = io.BytesIO(data)
            for position, length in steps:
                assert file.seek(position) == plain.seek(position)
                assert file.read(length) == plain.read(length)
            assert file.seek(0, io.SEEK_END) == len(data)
    finally:
        shards_module.CHUNK = before


def test_a_shard_that_is_not_there(tmp_path):
    with pytest.raises(VerificationError) as refused:
        open_verified(signed(b"x"), str(tmp_path))
    assert refused.value.code == "shard_missing"


@pytest.mark.parametrize(("shards", "sampled", "changed"), [(10, 3, 1), (10, 3, 2), (7, 7, 1), (5, 0, 1), (6, 4, 3)])
def test_detection_probability_is_hypergeometric(shards, sampled, changed):
    from scipy.stats import hypergeom

    expected = hypergeom.sf(0, shards, changed, sampled)
    assert shards_module.detection_probability(shards, sampled, changed) == pytest.approx(expected)


def test_a_folder_of_images_is_verified_as_the_archive_of_its_files(tmp_path):
    folder = tmp_path / "cat"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(name.encode() * 300)
    with filesystems.open_binary(f"{folder}/") as file:
        shard = signed(file.read(), "cat/")
    check_sizes([shard], str(tmp_path))
    hash_shards([shard], str(tmp_path), 1, lambda count: None)
    snapshot = SnapshotSpec(paths=(str(folder),))
    check_no_extra_files([shard], str(tmp_path), snapshot, images=True)
    (folder / "1.png").write_bytes(b"1.pnG" * 300)
    with pytest.raises(VerificationError, match="not those that were signed"):
        hash_shards([shard], str(tmp_path), 1, lambda count: None)
    (folder / "3.png").write_bytes(b"")
    with pytest.raises(VerificationError, match="were signed"):
        check_sizes([shard], str(tmp_path))
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "1.png").write_bytes(b"")
    with pytest.raises(VerificationError, match="dog/ is among the shards and was not signed"):
        check_no_extra_files([shard], str(tmp_path), SnapshotSpec(paths=(str(tmp_path),)), images=True)
