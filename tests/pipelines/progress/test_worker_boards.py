"""Boards of worker processes, added up on that of the driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_audit.pipelines.progress import worker_boards
from corpus_audit.pipelines.progress.board import Board, process_board
from corpus_audit.pipelines.progress.worker_boards import RemoteBoard, write_board


def test_reports_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_boards, "READ_EVERY", 3600)  # only what this test asks for is read
    here = process_board()
    here.reset()
    workers = [Board(), Board()]
    with RemoteBoard(tmp_path / "progress") as remote:
        here.begin_stage("reading", total_bytes=100, splits=4, kept=1)
        for number, board in enumerate(workers):
            board.shard_started(f"shard {number}")
            board.advance(bytes=10, documents=2)
            write_board(board, remote.folder / f"{number}.json")
        remote.read()
        state = here.state()
        assert (state.bytes_done, state.documents, state.splits_done) == (20, 4, 1)
        assert {shard.name for shard in state.active} == {"shard 0", "shard 1"}
        workers[0].shard_finished("shard 0")
        workers[0].split_done()
        workers[0].advance(bytes=5, documents=1, dead_letters=3)
        write_board(workers[0], remote.folder / "0.json")
        (remote.folder / ".2.json").write_text("half")
        (remote.folder / "3.json").write_text("half")
    state = here.state()  # leaving reads the last reports
    assert (state.bytes_done, state.documents, state.dead_letters, state.splits_done) == (25, 5, 3, 2)
    assert state.active == ()
    assert not remote.folder.exists()
    here.reset()


def test_a_cancelled_run_is_left_in_peace(tmp_path: Path) -> None:
    here = process_board()
    here.reset()
    with RemoteBoard(tmp_path / "progress") as remote:
        here.cancel()
        board = Board()
        board.advance(bytes=1)
        write_board(board, remote.folder / "a.json")
    here.reset()
