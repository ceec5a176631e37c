"""Manifests for clusters that others run: they parse, name what exists, and have the versions of the code."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from dockerfile_parse import DockerfileParser
from ruamel.yaml import YAML

from corpus_audit.runners.cli.main import cli
from corpus_audit.runners.cli.shared.engine_choice import engine_of
from corpus_audit.runners.doctor.flink import ENOUGH_NETWORK, TESTED
from corpus_audit.runners.engines.options import FlinkOptions

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "runners" / "engines" / "flink" / "deploy"
FLINK = max(flink for _, _, flink in TESTED)
UNITS = {"m": 2**20, "g": 2**30}


def documents(name: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe", pure=True).load_all((FOLDER / name).read_text(encoding="utf-8")))


def bytes_of(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def run_options(words: list[str]) -> tuple[str, FlinkOptions]:
    """The audit file and the engine of a command line of ``corpus-audit run``."""
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    given = command.make_context(words[0], words[1:]).params
    names = ("engine", "flink_master", "jar", "job_endpoint", "accelerator", "parallelism", "environment", "beam_flags")
    selected = engine_of(**{name: given[name] for name in names})
    assert isinstance(selected, FlinkOptions)
    return str(given["audit"]), selected


def test_the_image(tmp_path: Path) -> None:
    parser = DockerfileParser(path=str(tmp_path))
    parser.content = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    steps = [step for step in parser.structure if step["instruction"] != "COMMENT"]
    assert {step["instruction"] for step in steps} <= {"FROM", "ENV", "RUN", "COPY"}
    assert parser.baseimage == f"flink:{FLINK}-java17"
    assert parser.envs["XDG_CACHE_HOME"] == "/opt/cache"  # where the jars are looked for
    python = re.search(r"uv venv --python (\S+) (\S+)", parser.content)
    assert python is not None and parser.envs["PATH"].startswith(f"{python[2]}/bin:")
    imported = re.search(r'python -c "from (\S+) import (\w+); \2\(\)"', parser.content)
    assert imported is not None
    assert callable(getattr(__import__(imported[1], fromlist=[imported[2]]), imported[2]))
    for step in steps:
        if step["instruction"] == "RUN":
            assert shlex.split(step["value"])


def test_compose() -> None:
    (result,) = documents("compose.yaml")
    services = result["services"]
    assert set(services) == {"jobmanager", "taskmanager", "audit"}
    assert len({json.dumps(service["volumes"]) for service in services.values()}) == 1
    assert {service["image"] for service in services.values()} == {"corpus-audit-flink"}
    assert services["taskmanager"]["deploy"]["replicas"] == 2
    assert services["jobmanager"]["ports"] == ["127.0.0.1:8081:8081"]  # who reaches it can run code there
    build = services["jobmanager"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT and (ROOT / build["dockerfile"]) == FOLDER / "Dockerfile"
    lines = result["x-flink"]["environment"]["FLINK_PROPERTIES"].splitlines()
    properties = dict(line.split(": ") for line in lines)
    assert properties["jobmanager.rpc.address"] == "jobmanager"
    assert bytes_of(properties["taskmanager.memory.network.min"]) >= ENOUGH_NETWORK
    head = re.sub(r"^# ?", "", (FOLDER / "compose.yaml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    words = shlex.split(head.replace("\\\n", ""), comments=False)
    start = words.index("audit", words.index("--rm"))
    audit, options = run_options(words[start + 1 : start + 7])
    assert audit == "/data/audit.yaml" and options.master == "jobmanager:8081"


def test_kubernetes() -> None:
    cluster, job = documents("kubernetes.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("flink.apache.org/v1beta1", "FlinkDeployment")
    spec = cluster["spec"]
    assert spec["flinkVersion"] == f"v{FLINK.replace('.', '_')}" and "job" not in spec  # a session cluster
    assert all(isinstance(value, str) for value in spec["flinkConfiguration"].values())
    assert bytes_of(spec["flinkConfiguration"]["taskmanager.memory.network.min"]) >= ENOUGH_NETWORK
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    inside = job["spec"]["template"]["spec"]
    (container,) = inside["containers"]
    (pod,) = spec["podTemplate"]["spec"]["containers"]
    assert pod["name"] == "flink-main-container"  # the name that the operator merges into its own
    assert container["image"] == spec["image"] == "corpus-audit-flink"
    assert (
        container["volumeMounts"] == pod["volumeMounts"] and inside["volumes"] == spec["podTemplate"]["spec"]["volumes"]
    )
    assert container["command"][0] == "corpus-audit"
    audit, options = run_options(container["command"][1:])
    assert audit == "/data/audit.yaml" and options.master == f"{cluster['metadata']['name']}-rest:8081"


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "kubernetes.yaml"])
def test_they_are_short(name: str) -> None:
    assert len((FOLDER / name).read_text(encoding="utf-8").splitlines()) <= 45
