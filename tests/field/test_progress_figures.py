"""A new user's run: 8,072 documents counted for 4,036, "0 B/s" in the middle of a scan, "starting" for 20 seconds.

Right: documents are counted by the stage that counts them and by no other that reads them (to choose decoys, to verify
more); the rate is what was done over a window, or since something was last done where a batch takes longer than that;
and a stage says what is being done. At its end a run's board says what its run.json says.
"""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.progress import board as board_module
from corpus_audit.pipelines.progress.board import RATE_WINDOW, Board
from corpus_audit.runners.process.progress import ProgressReporter, progress_line
from tests import corpora
from tests.engine.runs import write_audit
from tests.oracle import Document


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(board_module, "time", made)
    return made


def test_documents_that_are_read_again_are_counted_once(clock):
    board = Board()
    board.begin_stage("choosing decoys", total_bytes=100)
    board.advance(bytes=100, documents=4036)
    assert "documents" not in progress_line(board.state())
    board.begin_stage("reading", total_bytes=100, splits=3)
    board.advance(bytes=100, documents=4036, dead_letters=2)
    board.begin_stage("verifying", total_bytes=100)
    board.advance(bytes=100, documents=4036, dead_letters=2)
    assert (board.state().documents, board.state().dead_letters) == (4036, 2)
    board.counted(9000, 5)  # with what earlier runs have counted
    assert "9,000 documents, 5 dead letters" in progress_line(board.state())


def test_the_rate_of_a_scan_with_slow_batches_is_never_nothing(clock):
    board = Board()
    board.begin_stage("scanning", total_bytes=10_000)
    assert "B/s" not in progress_line(board.state()), "nothing was measured yet"
    for _ in range(5):
        clock.now += 3 * RATE_WINDOW
        board.advance(bytes=300)
        for _ in range(29):
            clock.now += 1
            assert 300 / 60 <= board.state().rate <= 20
            assert " 0 B/s" not in progress_line(board.state())
        clock.now -= 29


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(0.01, 40), st.integers(1, 10**6)), min_size=1, max_size=40), st.floats(0, 30))
def test_the_rate_is_one_that_was_seen(steps, wait):
    """Whatever the pace: it is above nothing, and no more than the highest pace of any step."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board_module, "time", clock)
        board = Board()
        board.begin_stage("reading", total_bytes=10**9, splits=1)
        for seconds, size in steps:
            clock.now += seconds
            board.advance(bytes=size)
        clock.now += wait
        rate = board.state().rate
    total, took = sum(size for _, size in steps), sum(seconds for seconds, _ in steps) + wait
    assert 0 < rate <= max(size / seconds for seconds, size in steps) * (1 + 1e-9) or took < 1
    if took <= RATE_WINDOW:
        assert rate == pytest.approx(total / took)


def test_compiling_is_reported_while_it_lasts(clock):
    board = Board()
    board.begin_stage("reading", total_bytes=100, splits=1)
    board.compiling(2)
    board.compiling(-1)
    clock.now += 20
    assert progress_line(board.state()).startswith("reading 0%: 0 B of 100 B, 20 s, compiling kernels")
    board.compiling(-1)
    assert "compiling" not in progress_line(board.state())


def test_a_kernel_that_is_compiled_says_so(tmp_path):
    from corpus_audit.pipelines.kernels.compiler.machine_code import MachineCode
    from corpus_audit.pipelines.progress.board import process_board

    output = []
    process_board().reset()
    numba = pytest.importorskip("numba")

    def triple(n):
        return 3 * n

    function = numba.njit(triple)
    code = MachineCode(triple)
    load, save = code.load_overload, code.save_overload
    code.load_overload = lambda *given: (load(*given), output.append(process_board().state().compiling))[0]
    code.save_overload = lambda *given: (save(*given), output.append(process_board().state().compiling))[0]
    function._cache = code
    assert function(14) == 42
    assert output in ([True, False], [False]), "the second where the machine code was kept from before"


class Broken(io.StringIO):
    def write(self, text):
        raise RuntimeError("a terminal that went away in an odd manner")


def test_a_progress_line_that_fails_stops_nothing():
    with ProgressReporter(Board(), Broken(), line_every=0.0001) as reporter:
        assert reporter._thread.is_alive()
    with ProgressReporter(Board(), None):
        pass


@pytest.mark.engine
def test_a_run_ends_with_the_documents_of_its_record(tmp_path):
    """With benchmarks, whose decoys read every document before, with a shard twice, and again from a warm store."""
    from corpus_audit.runners.audit.run import run_audit
    from corpus_audit.schemas.spec.audit_file import load_audit

    texts = [text[:2000] for _, text in corpora.real_texts(1_500_000)][:60]
    documents = [
        Document(text, facets={"domain": "web", "language": "en"}, id=str(n), cluster=str(n % 7))
        for n, text in enumerate(texts)
    ]
    paths = corpora.write_shards(tmp_path / "data", [documents, documents[:20]], "parquet")
    (tmp_path / "data" / "copy.parquet").write_bytes(paths[1].read_bytes())
    (tmp_path / "exam.jsonl").write_text(
        "".join(json.dumps({"prompt": text[:300], "answer": "x"}) + "\n" for text in texts[:5])
    )
    benchmark = {"name": "exam", "paths": ["exam.jsonl"], "prompt": "prompt", "answer": "answer"}
    tokenizer = corpora.small_bpe(tmp_path / "tokenizer", 600)
    spec = write_audit(tmp_path, [tmp_path / "data"], tokenizer, benchmarks=[benchmark])
    stages = []
    for _ in range(2):
        board = Watched(stages)
        outcome = run_audit(load_audit(spec), workers=1, board=board)
        record = json.loads((outcome.run_dir / "run.json").read_text())
        assert board.state().documents == record["coverage"]["documents"] == len(documents) + 40 == 100
    assert {"listing shards", "hashing", "loading the tokenizer", "choosing decoys", "reading", "merging"} <= set(
        stages
    )


class Watched(Board):
    """A board that remembers its stages."""

    def __init__(self, stages):
        super().__init__()
        self.stages = stages

    def begin_stage(self, name, *given, **more):
        self.stages.append(name)
        super().begin_stage(name, *given, **more)
