import pickle
import threading

import pytest

from corpus_audit.pipelines.progress import board as board_module
from corpus_audit.pipelines.progress.board import Board, RunCancelledError, process_board


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(board_module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_counts_add_up_over_threads():
    board = Board()
    board.begin_stage("reading", total_bytes=8 * 1000 * 3, splits=8)

    def work(number):
        board.shard_started(f"shard {number}")
        for _ in range(1000):
            board.advance(bytes=3, documents=2, dead_letters=1)
        board.shard_finished(f"shard {number}")
        board.split_done()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = board.state()
    assert (state.bytes_done, state.documents, state.dead_letters) == (24_000, 16_000, 8_000)
    assert (state.splits_done, state.splits_total, state.active, state.share) == (8, 8, (), 1.0)


def test_rate_is_of_the_last_ten_seconds(clock):
    board = Board()
    board.begin_stage("reading", total_bytes=10_000)
    for _ in range(20):
        clock.now += 1
        board.advance(bytes=100)
    for _ in range(12):
        clock.now += 1
        board.advance(bytes=10)
    state = board.state()
    assert state.rate == pytest.approx(10.0)
    assert state.seconds_left == pytest.approx((10_000 - 2_120) / 10)


def test_rate_falls_when_nothing_happens_and_is_not_nothing(clock):
    board = Board()
    board.begin_stage("reading", total_bytes=1_000)
    clock.now += 1
    board.advance(bytes=500)
    clock.now += 59
    assert board.state().rate == pytest.approx(500 / 60)
    assert board.state().seconds_left == pytest.approx(60)


def test_a_shard_is_in_work_until_its_last_split_is_finished(clock):
    board = Board()
    board.shard_started("slow")
    clock.now += 5
    board.shard_started("quick")
    board.shard_started("slow")
    board.shard_finished("slow")
    clock.now += 1
    assert [(shard.name, shard.seconds) for shard in board.state().active] == [("slow", 6.0), ("quick", 1.0)]
    board.shard_finished("slow")
    assert [shard.name for shard in board.state().active] == ["quick"]


def test_a_later_stage_keeps_splits_and_documents():
    board = Board()
    board.begin_stage("reading", total_bytes=10, splits=40, kept=12)
    board.advance(bytes=10, documents=5)
    board.split_done()
    board.begin_stage("merging")
    state = board.state()
    assert (state.splits_done, state.splits_total, state.documents) == (13, 40, 5)
    assert (state.stage, state.bytes_done, state.share) == ("merging", 0, None)
    board.begin_stage("looking for decoys", total_bytes=10)
    board.advance(bytes=10, documents=5, dead_letters=1)
    board.split_done()  # the same split, read again for another measure
    assert board.state().splits_done == 13 and board.state().documents == 5


def test_cancel_stops_the_next_advance_and_reset_allows_a_new_run():
    board = Board()
    board.cancel()
    with pytest.raises(RunCancelledError):
        board.advance(bytes=1)
    board.reset()
    board.advance(bytes=1)
    assert board.state().bytes_done == 1


def test_a_pickled_board_is_the_board_of_the_process():
    assert pickle.loads(pickle.dumps(process_board())) is process_board()
