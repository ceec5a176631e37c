"""Keep the engine's log lines off the user's terminal, and the last of them for a crash report."""

from __future__ import annotations

import logging
from collections import deque

KEPT_RECORDS = 200  # an engine that retries can log for hours; the last ones lead to the error


class RecentRecords(logging.Handler):
    """Holds the last `KEPT_RECORDS` warnings and errors that anything in this process logged."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self._lines: deque[str] = deque(maxlen=KEPT_RECORDS)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's text."""
        self._lines.append(self.format(record))

    @property
    def lines(self) -> tuple[str, ...]:
        """The records as text, oldest first."""
        return tuple(self._lines)


_RECENT = RecentRecords()


def quiet_engine_logs() -> None:
    """Send what libraries log and warn to a bounded buffer; call before the engine is imported.

    Importing ``apache_beam`` logs a warning on the root logger, which installs a handler on standard error unless the
    root logger has one, and ``PipelineOptions`` calls ``basicConfig``. Both do nothing once a handler is in place.
    Handlers that the caller's program installed before are left alone.
    """
    root = logging.getLogger()
    if _RECENT not in root.handlers:
        root.addHandler(_RECENT)
    logging.captureWarnings(True)


def recent_log_lines() -> tuple[str, ...]:
    """The last warnings and errors that were logged since `quiet_engine_logs`, oldest first."""
    return _RECENT.lines
