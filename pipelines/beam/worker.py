"""``corpus-audit-worker``: the Python worker process that an engine starts on its own machines.

Beam's own launcher is a Go program of its container images. This one needs neither an image nor an installation at the
start: the environment that the console script belongs to is the worker's.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence

from corpus_audit.pipelines.progress.worker_boards import report_board

PARENT_EVERY = 1.0
"""Seconds between checks that the parent process is still alive."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask the engine's provision service for its addresses, and work until it closes the connection or ends."""
    parser = argparse.ArgumentParser(prog="corpus-audit-worker", description=__doc__)
    parser.add_argument("--id", required=True)
    for name in ("logging", "artifact", "provision", "control"):
        parser.add_argument(f"--{name}_endpoint", required=name == "provision", default="")
    chosen = parser.parse_args(arguments)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), name="parent", daemon=True).start()
    os.environ.update(_described(chosen))
    report_board()
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


def _end_with_parent(parent: int) -> None:
    """A TaskManager that is killed has no chance to end its workers, and they would wait for it for ever."""
    while os.getppid() == parent:
        time.sleep(PARENT_EVERY)
    os._exit(1)


def _described(chosen: argparse.Namespace) -> dict[str, str]:
    """The environment variables that Beam's worker reads, from the engine's provision service."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc, endpoints_pb2
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(chosen.provision_endpoint) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        asked = stub.GetProvisionInfo(request, metadata=(("worker_id", chosen.id),), timeout=60, wait_for_ready=True)
        info = asked.info

    def service(given: str, told: endpoints_pb2.ApiServiceDescriptor) -> str:
        return str(text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=given or told.url)))

    return {
        "WORKER_ID": chosen.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": service(chosen.logging_endpoint, info.logging_endpoint),
        "CONTROL_API_SERVICE_DESCRIPTOR": service(chosen.control_endpoint, info.control_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
