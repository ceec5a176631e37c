"""The few questions that are asked of a Flink cluster's REST port."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from corpus_audit.schemas.errors import EngineError

TIMEOUT = 10.0
"""Seconds for one answer."""

ENDED = {"FINISHED", "CANCELED", "FAILED"}


@dataclass(frozen=True, slots=True)
class Overview:
    """What a cluster says of itself."""

    task_managers: int
    slots: int
    slots_free: int
    version: str


@dataclass(frozen=True, slots=True)
class Rest:
    """A JobManager's REST port, ``host:port``."""

    address: str

    def overview(self) -> Overview:
        """Versions and slots.

        Raises:
            EngineError: nothing answers there, or something else than Flink.
        """
        answer = self._ask("/overview")
        try:
            return Overview(
                task_managers=int(answer["taskmanagers"]),
                slots=int(answer["slots-total"]),
                slots_free=int(answer["slots-available"]),
                version=str(answer["flink-version"]),
            )
        except (KeyError, TypeError, ValueError):
            raise EngineError(f"what answers at {self.address} is not a Flink JobManager") from None

    def running_jobs(self, prefix: str) -> list[str]:
        """Ids of jobs whose name starts with ``prefix`` and that have not ended."""
        jobs = self._ask("/jobs/overview")["jobs"]
        return [job["jid"] for job in jobs if job["name"].startswith(prefix) and job["state"] not in ENDED]

    def network_memory(self) -> list[int]:
        """Bytes for network buffers of every TaskManager."""
        managers = self._ask("/taskmanagers")["taskmanagers"]
        return [int(manager["memoryConfiguration"]["networkMemory"]) for manager in managers]

    def cancel(self, job: str) -> None:
        """Ask for the end of a job."""
        self._ask(f"/jobs/{job}?mode=cancel", "PATCH")

    def _ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"http://{self.address}{path}", method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a cluster is not behind a web proxy
        try:
            with opener.open(request, timeout=TIMEOUT) as answer:
                return json.loads(answer.read() or b"{}")
        except (OSError, ValueError, urllib.error.HTTPError) as error:
            reason = getattr(error, "reason", None) or error
            raise EngineError(f"no Flink JobManager answers at {self.address}: {reason}") from None
