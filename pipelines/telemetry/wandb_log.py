"""Reads the ``.wandb`` files that W&B writes offline: the rows of its history, the run's name, configuration, summary.

Records are protobuf messages ``Record`` (wandb/proto/wandb_internal.proto) in a `record_log`. Of a record these fields
are read: 2 history (items 1, step 2), 3 summary (items 1), 5 config (items 1), 17 run (id 1, project 3, config 4,
summary 5), 18 exit, 100 request. An item has 1 a key or 2 the keys of nested objects, and 16 its value as JSON; the
types 4 to 8 are those that the protocol has beside it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.pipelines.kernels.telemetry.protobuf_fields import message_fields
from corpus_audit.pipelines.telemetry.json_documents import RepeatedKeyError, as_number, flat, parse_json
from corpus_audit.pipelines.telemetry.lines import text_of
from corpus_audit.pipelines.telemetry.points import Account, Collector, FileTelemetry, Refusal, encodable
from corpus_audit.pipelines.telemetry.record_log import FILE_HEADER, records_of

_HISTORY, _SUMMARY, _CONFIG, _RUN, _EXIT = 2, 3, 5, 17, 18
_ITEMS = 1 << 1
_NOT_SERIES = ("_step", "_timestamp", "_runtime")

MOST_SETTINGS = 1_000
"""Keys of configuration or summary that are kept."""

_SHOWN = 20


class _MalformedError(ValueError):
    """A record is not the protobuf message that it should be."""


class _Fields:
    """Lists the fields of messages, in room that is kept."""

    def __init__(self) -> None:
        self._room = np.zeros((256, 4), np.int64)

    def __call__(self, data: np.ndarray, start: int, stop: int, descend: int = 0) -> list[list[int]]:
        """(depth, number, start, end) of fields; see `message_fields`.

        Raises:
            _MalformedError: the message is malformed.
        """
        listed: Any = message_fields  # its types are those of its arguments
        while True:
            count = listed(data, start, stop, descend, self._room)
            if count < 0:
                raise _MalformedError("a record that is no protobuf message")
            if count <= len(self._room):
                rows: list[list[int]] = self._room[:count].tolist()
                return rows
            self._room = np.zeros((2 * count, 4), np.int64)


def is_wandb(head: bytes) -> bool:
    """Whether a file begins as a ``.wandb`` file of a version that is known."""
    return head.startswith(FILE_HEADER)


def read_wandb(path: Path) -> FileTelemetry:
    """The numbers of every row of the history, nested names joined by ``/``; offsets are bytes of records.

    What W&B stores of histograms, images and tables are objects with a ``_type``, whose fields are not values. Records
    other than history are counted as ``other``; the notes of the account have the run's id and project, configuration,
    and what the summary says beside the history.
    """
    account = Account()
    collector = Collector(account)
    fields = _Fields()
    about: dict[int, dict[str, Any]] = {_SUMMARY: {}, _CONFIG: {}}
    names: dict[str, str] = {}
    ended = False
    for offset, record in records_of(path, account):
        data = np.frombuffer(record, np.uint8)
        try:
            kind, start, stop = _content(fields, data)
            if kind == _HISTORY:
                _add_history(fields, record, data, start, stop, offset, collector, account)
                continue
            if kind in about:
                _update(about[kind], fields, record, data, start, stop)
            elif kind == _RUN:
                for _, number, first, last in fields(data, start, stop):
                    if number in (1, 3):
                        names["run" if number == 1 else "project"] = text_of(record[first:last])
                    elif number in (4, 5):
                        _update(about[_CONFIG if number == 4 else _SUMMARY], fields, record, data, first, last)
            ended = ended or kind == _EXIT
            account.entry(False)
        except RepeatedKeyError as error:
            account.refuse(offset, Refusal.DUPLICATE_KEY, str(error))
        except _MalformedError as error:
            account.refuse(offset, Refusal.MALFORMED, str(error))
    run = collector.finish()
    account.notes += _notes(names, about[_CONFIG], about[_SUMMARY], set(run.tags), ended)
    return FileTelemetry(path, "wandb", "byte", (run,), account)


def _content(fields: _Fields, data: np.ndarray) -> tuple[int, int, int]:
    """(field, start, end) of what a record is about; 0 if there is none."""
    for _, number, start, stop in fields(data, 0, len(data)):
        if number not in (1, 16, 19, 200):
            return number, start, stop
    return 0, 0, 0


def _add_history(
    fields: _Fields,
    record: bytes,
    data: np.ndarray,
    start: int,
    stop: int,
    offset: int,
    collector: Collector,
    account: Account,
) -> None:
    """Add a row of the history."""
    step: int | None = None
    row: dict[str, Any] = {}
    twice = ""
    for kind, name, value in _items(fields, record, data, start, stop, _ITEMS | 1 << 2):
        if kind == 2:
            step = value
        elif name in row:
            twice = twice or name
        else:
            row[name] = value
    typed = tuple(name.removesuffix("_type") for name in row if name.endswith("/_type"))
    stated = as_number(row.get("_step"))
    if stated is not None and stated == stated and abs(stated) <= 2**62:
        step = int(stated)
    if twice:
        account.refuse(offset, Refusal.DUPLICATE_KEY, twice)
        return
    if step is None:
        account.refuse(offset, Refusal.NO_STEP)
        return
    wall = as_number(row.get("_timestamp"))
    used = False
    for name, value in row.items():
        if name in _NOT_SERIES or (typed and name.startswith(typed)):
            continue
        figure = as_number(value)
        if figure is not None:
            used = collector.add(name, step, figure, float("nan") if wall is None else wall, offset) or used
    account.entry(used)


def _items(
    fields: _Fields, record: bytes, data: np.ndarray, start: int, stop: int, descend: int
) -> Iterator[tuple[int, str, Any]]:
    """(1, name, value) of the items of a message, and (2, "", step)."""
    rows = fields(data, start, stop, descend)
    at = 0
    while at < len(rows):
        number = rows[at][1]
        at += 1
        keys: list[bytes] = []
        value: Any = None
        step = 0
        while at < len(rows) and rows[at][0] == 1:
            _, inner, first, last = rows[at]
            at += 1
            if number == 2:
                step = _signed(_varint(record, first)) if inner == 1 else step
            elif inner in (1, 2) and last > first:
                keys.append(record[first:last])
            elif inner == 16 or inner == 8:
                value = _json(record[first:last])
            elif inner == 5:
                raw = _varint(record, first)
                value = (raw >> 1) ^ -(raw & 1)
            elif inner == 6 and last - first == 8:
                (value,) = struct.unpack_from("<d", record, first)
            elif inner == 7:
                value = text_of(record[first:last])
        if number == 2:
            yield 2, "", step
        elif number == 1:
            name = "/".join(map(text_of, keys))
            if isinstance(value, dict):
                yield from ((1, f"{name}/{inside}", each) for inside, each in flat(value))
            else:
                yield 1, name, value


def _json(text: bytes) -> Any:
    """A JSON value; None if it is none that can be read.

    Raises:
        RepeatedKeyError: an object has a key twice.
    """
    if text[:1] in b"-0123456789" and b"_" not in text:
        try:
            return float(text)
        except ValueError:
            return None
    try:
        return parse_json(text)
    except RepeatedKeyError:
        raise
    except ValueError:
        return None


def _varint(record: bytes, at: int) -> int:
    value = shift = 0
    while record[at] > 127:
        value |= (record[at] & 127) << shift
        shift += 7
        at += 1
    return value | record[at] << shift


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _update(known: dict[str, Any], fields: _Fields, record: bytes, data: np.ndarray, start: int, stop: int) -> None:
    for kind, name, value in _items(fields, record, data, start, stop, _ITEMS):
        if kind == 1 and value is not None and (name in known or len(known) < MOST_SETTINGS):
            known[name] = value


def _notes(
    names: dict[str, str], config: dict[str, Any], summary: dict[str, Any], tags: set[str], ended: bool
) -> Iterator[str]:
    if "run" in names:
        yield encodable(f"run {names['run'][:100]}" + (f" of {names['project'][:100]}" if "project" in names else ""))
    for title, values in (("config", config), ("summary beside the history", summary)):
        shown = [
            f"{name} = {value:.6g}" if isinstance(value, float) else f"{name} = {str(value)[:60]}"
            for name, value in values.items()
            if not name.startswith("_") and name not in tags and isinstance(value, str | int | float)
        ]
        if shown:
            more = f", and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
            yield encodable(f"{title}: {', '.join(shown[:_SHOWN])}{more}")
    if not ended:
        yield "no exit record: the run was still writing, or was ended from outside"
