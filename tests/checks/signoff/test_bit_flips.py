"""Bits that flip by themselves, or are flipped: none of them goes unnoticed."""

import random

import pytest

from corpus_audit.checks.signoff.dsse import read_envelope
from corpus_audit.schemas.errors import VerificationError
from tests.checks.signoff.world import build_world, sign_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return sign_world(build_world(tmp_path_factory.mktemp("flips") / "world"))


def flipped(path, rng):
    """The file's bytes with one bit flipped."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def flips(world, files, count, detached):
    """Flip one bit in one file at a time; yields the file and what verification then said, or None if it refused."""
    rng = random.Random(20261125)
    for _ in range(count):
        path = rng.choice(files)
        before = path.read_bytes()
        path.write_bytes(flipped(path, rng))
        try:
            yield path, world.verify(detached=detached)
        except VerificationError:
            yield path, None
        finally:
            path.write_bytes(before)


def covered(world):
    """Every file of the run, timings and manifest too, the sign-off, the ledger and the shards."""
    run = sorted(path for path in world.run.rglob("*") if path.is_file())
    assert {"timings.json", "MANIFEST.sha256", "run.json", "results.json", "policy.yaml"} <= {p.name for p in run}
    return [*run, world.signed, world.ledger, *sorted(path for path in world.corpus.rglob("*.jsonl"))]


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_flipped_bit_verifies(world, count):
    verifications = [(path, verified) for path, verified in flips(world, covered(world), count, detached=False)]
    assert [path for path, verified in verifications if verified is not None] == []
    assert len({path for path, _ in verifications}) > 10 and world.verify().approvers == ("bo", "cy")


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_detached_a_flip_is_refused_or_changes_nothing_that_counts(world, count):
    """Without the ledger's digest of the envelope, key ids may flip: they are hints, and nothing depends on them."""
    sound = world.verify(detached=True)
    original = read_envelope(world.signed.read_bytes())
    rng = random.Random(7)
    data = world.signed.read_bytes()
    survived = 0
    for _ in range(count):
        world.signed.write_bytes(flipped(world.signed, rng))
        try:
            verified = world.verify(detached=True)
        except VerificationError:
            continue
        finally:
            changed, _ = world.signed.read_bytes(), world.signed.write_bytes(data)
        survived += 1
        now = read_envelope(changed)
        assert now.payload == original.payload and now.payload_type == original.payload_type
        assert [s.sig for s in now.signatures] == [s.sig for s in original.signatures]
        assert (verified.statement, verified.author, verified.approvers) == (
            sound.statement,
            sound.author,
            sound.approvers,
        )
    assert survived < count / 2
