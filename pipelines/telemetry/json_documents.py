"""Reads telemetry in one JSON document: Hugging Face ``trainer_state.json`` and the golden values of Megatron-LM.

Keys that occur twice in an object are refused, as no standard says which value counts; ``NaN`` and ``"nan"`` are
numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from corpus_audit.pipelines.telemetry.log_file import LogFile
from corpus_audit.pipelines.telemetry.points import Account, Collector, FileTelemetry, Refusal

LARGEST_DOCUMENT = 2**28
"""Bytes of a document, which is parsed as a whole."""

STEP_NAMES = ("_step", "step", "global_step", "iteration", "iter", "steps", "train/global_step", "trainer/global_step")
"""Names of the step, in the order in which they are looked for; case does not matter."""


class RepeatedKeyError(ValueError):
    """An object has a key twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise RepeatedKeyError(next(name for name in names if names.count(name) > 1))
    return values


def parse_json(text: bytes | str) -> Any:
    """A JSON value, with NaN and infinities.

    Raises:
        RepeatedKeyError: a key occurs twice.
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def as_number(value: object) -> float | None:
    """A number, or text that is one ("nan" and "inf" too); None for all else, truth values included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def flat(row: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Names and values of an object, those of objects within joined by ``/``, down to eight levels."""
    for name, value in row.items():
        if isinstance(value, Mapping) and depth < 8:
            yield from flat(value, f"{prefix}{name}/", depth + 1)
        else:
            yield f"{prefix}{name}", value


def step_name(names: list[str]) -> str | None:
    """Which of the names is that of the step."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in STEP_NAMES if name in lower), None)


def add_row(row: Mapping[str, Any], offset: int, collector: Collector, account: Account, step_key: str | None) -> None:
    """Add the numbers of a row that names its step; what is neither number nor step is not counted as a value."""
    values = dict(flat(row))
    key = step_key if step_key in values else step_name(list(values))
    step = as_number(values.get(key)) if key is not None else None
    if step is None or step != step or abs(step) > 2**62:
        account.refuse(
            offset, Refusal.NO_STEP if step is None else Refusal.STEP_OUT_OF_RANGE, str(values.get(key or ""))
        )
        return
    wall = as_number(values.get("_timestamp"))
    used = False
    for name, value in values.items():
        if name == key or name in ("_timestamp", "_runtime"):
            continue
        figure = as_number(value)
        if figure is not None:
            used = collector.add(name, int(step), figure, float("nan") if wall is None else wall, offset) or used
    account.entry(used)


def read_trainer_state(path: Path) -> FileTelemetry:
    """The rows of ``log_history``; offsets are positions in it."""
    account = Account()
    collector = Collector(account)
    document = _document(path, account)
    rows = document.get("log_history") if isinstance(document, dict) else None
    for position, row in enumerate(rows if isinstance(rows, list) else ()):
        if isinstance(row, Mapping):
            add_row(row, position, collector, account, "step")
        else:
            account.refuse(position, Refusal.MALFORMED, repr(row)[:100])
    return FileTelemetry(path, "trainer_state", "row", (collector.finish(),), account)


def read_golden_values(path: Path) -> FileTelemetry:
    """Series of Megatron-LM's golden values; an entry is a value, and its offset its position in the series.

    ``{"lm loss": {"start_step": 1, "end_step": 9, "step_interval": 1, "values": {"1": 12.9, "2": "nan"}}}``, or values
    as a list from the first step on.
    """
    account = Account()
    collector = Collector(account)
    document = _document(path, account)
    for name, series in document.items() if isinstance(document, dict) else ():
        values = series.get("values") if isinstance(series, Mapping) else None
        if isinstance(values, list):
            start, interval = int(series.get("start_step", 0)), int(series.get("step_interval", 1))
            values = {str(start + i * interval): value for i, value in enumerate(values)}
        if not isinstance(values, Mapping):
            account.refuse(0, Refusal.MALFORMED, str(name))
            continue
        for position, (step, value) in enumerate(values.items()):
            figure = as_number(value)
            if not step.lstrip("-").isdecimal() or len(step) > 19:
                account.refuse(position, Refusal.NO_STEP, step)
            elif figure is None:
                account.refuse(position, Refusal.NOT_A_NUMBER, f"{name}: {value!r}"[:100])
            else:
                account.entry(collector.add(name, int(step), figure, float("nan"), position))
    return FileTelemetry(path, "golden_values", "row", (collector.finish(),), account)


def _document(path: Path, account: Account) -> Any:
    with LogFile(path) as file:
        file.note(account)
        text = file.read(LARGEST_DOCUMENT + 1)
        fault = file.fault
    if fault is not None:
        account.refuse(0, *fault)
        return None
    if len(text) > LARGEST_DOCUMENT:
        account.refuse(0, Refusal.TOO_LARGE, f"a JSON document of more than {LARGEST_DOCUMENT} bytes")
        return None
    try:
        return parse_json(text)
    except RepeatedKeyError as error:
        account.refuse(0, Refusal.DUPLICATE_KEY, str(error))
    except ValueError as error:
        account.refuse(0, Refusal.MALFORMED, str(error))
    return None
