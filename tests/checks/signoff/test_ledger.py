import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from corpus_audit.checks.signoff import ledger as ledgers
from corpus_audit.schemas.errors import VerificationError

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def ledger_of(path, entries):
    ledger = ledgers.Ledger()
    for i in range(entries):
        entry = ledgers.new_entry(
            ledger,
            moment=NOW + timedelta(minutes=i),
            run=f"run-{i}",
            statement=f"{i:064x}",
            envelope=f"{i + 100:064x}",
            signers=["ab" * 32],
        )
        ledger = ledgers.append(path, ledger, entry)
    return ledger


def code(path):
    with pytest.raises(VerificationError) as refused:
        ledgers.read_ledger(path)
    return refused.value.code


def test_a_ledger_comes_back(tmp_path):
    path = tmp_path / "ledger.jsonl"
    made = ledger_of(path, 4)
    read = ledgers.read_ledger(path)
    assert read == made and read.head == made.head
    assert [entry.run for entry in read.upto(made.entries[1].digest).entries] == ["run-0", "run-1"]
    assert read.upto(ledgers.GENESIS) == ledgers.Ledger()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lines: [lines[1], lines[0], *lines[2:]], "ledger_chain"),
        (lambda lines: [*lines[:1], *lines[2:]], "ledger_chain"),
        (lambda lines: [*lines, lines[-1]], "ledger_chain"),
        (lambda lines: lines[1:], "ledger_chain"),
        (lambda lines: [*lines[:-1], lines[-1].rstrip(b"\n")], "ledger_format"),
        (lambda lines: [*lines[:-1], lines[-1].replace(b"run-3", b"run-2")], "ledger_format"),
        (lambda lines: [*lines, b"\n"], "ledger_format"),
        (lambda lines: [b" " + lines[0], *lines[1:]], "ledger_format"),
        (lambda lines: [lines[0].replace(b"{", b'{"run":"run-0",', 1), *lines[1:]], "ledger_format"),
    ],
)  # fmt: skip
def test_edits_and_holes_show(tmp_path, change, expected):
    path = tmp_path / "ledger.jsonl"
    ledger_of(path, 4)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    assert code(path) == expected


def test_every_bit_of_a_ledger_counts(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger_of(path, 2)
    data = path.read_bytes()
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        with pytest.raises(VerificationError):
            ledgers.parse_ledger(flipped, "ledger")


def test_a_cut_ledger_is_found_against_a_published_head(tmp_path):
    path = tmp_path / "ledger.jsonl"
    whole = ledger_of(path, 4)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    cut = ledgers.read_ledger(path)
    with pytest.raises(VerificationError) as refused:
        cut.upto(whole.head)
    assert refused.value.code == "ledger_head"


def test_no_ledger_is_refused(tmp_path):
    assert code(tmp_path / "ledger.jsonl") == "ledger_missing"


APPENDING = """
import sys
from pathlib import Path
from tests.checks.signoff.test_ledger import ledger_of
print("go", flush=True)
ledger_of(Path(sys.argv[1]), 100_000)
"""


@pytest.mark.slow
def test_a_kill_leaves_a_whole_ledger(tmp_path):
    """Thirty writers are killed while they append; what they leave always holds."""
    longest = 0
    for attempt in range(30):
        path = tmp_path / f"{attempt}.jsonl"
        process = subprocess.Popen([sys.executable, "-c", APPENDING, path], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.01 + attempt / 300)
        while attempt == 29 and not (path.exists() and path.read_bytes().count(b"\n") > 2):
            time.sleep(0.01)  # one at least is killed after two entries, however slow the machine
        process.send_signal(signal.SIGKILL)
        process.wait()
        if path.exists():
            longest = max(longest, len(ledgers.read_ledger(path).entries))
    assert longest > 1
