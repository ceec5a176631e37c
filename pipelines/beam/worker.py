"""``corpus-audit-worker``: the Python worker process that an engine starts on its own machines.

Beam's own launcher is a Go program of its container images. This one needs neither an image nor an installation when
it starts: it runs in the Python environment of its console script.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence

from corpus_audit.pipelines.progress.worker_boards import report_board

PARENT_CHECK_SECONDS = 1.0
"""Seconds between checks that the parent process is still alive."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Get the addresses of the engine's services from its provision service, then run Beam's worker until it ends."""
    parser = argparse.ArgumentParser(prog="corpus-audit-worker", description=__doc__)
    parser.add_argument("--id", required=True)
    for name in ("logging", "artifact", "provision", "control"):
        parser.add_argument(f"--{name}_endpoint", required=name == "provision", default="")
    options = parser.parse_args(arguments)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), name="parent", daemon=True).start()
    os.environ.update(_worker_environment(options))
    report_board()
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


def _end_with_parent(parent: int) -> None:
    """Exit when the parent ends: a killed TaskManager cannot stop its workers, which would wait for it forever."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


def _worker_environment(options: argparse.Namespace) -> dict[str, str]:
    """The environment variables that Beam's worker reads, from the engine's provision service."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc, endpoints_pb2
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(options.provision_endpoint) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        response = stub.GetProvisionInfo(
            request, metadata=(("worker_id", options.id),), timeout=60, wait_for_ready=True
        )
        info = response.info

    def service(argument: str, reported: endpoints_pb2.ApiServiceDescriptor) -> str:
        return str(text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=argument or reported.url)))

    return {
        "WORKER_ID": options.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": service(options.logging_endpoint, info.logging_endpoint),
        "CONTROL_API_SERVICE_DESCRIPTOR": service(options.control_endpoint, info.control_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
