"""Options of engines, and flags for Beam: what is refused, before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_audit.pipelines.beam.flags import check_flags
from corpus_audit.runners.cli.shared.engine_choice import engine_of
from corpus_audit.runners.engines.options import (
    DataflowOptions,
    EmbeddedOptions,
    Environment,
    FlinkOptions,
    SparkOptions,
)
from corpus_audit.schemas.errors import UsageError

NOTHING = {"flink_master": None, "jar": None, "parallelism": None, "environment": None, "beam_flags": ()}


def test_options_become_an_engine() -> None:
    assert engine_of("embedded", **NOTHING) == EmbeddedOptions()
    assert engine_of("flink", **NOTHING) == FlinkOptions()
    given = {"flink_master": "local", "jar": Path("x.jar"), "parallelism": 3, "environment": "loopback"}
    selected = engine_of("flink", **given, beam_flags=("--max_bundle_size=1",))
    assert selected == FlinkOptions("local", Path("x.jar"), 3, Environment.LOOPBACK, ("--max_bundle_size=1",))


@pytest.mark.parametrize(
    "given", [{"flink_master": "local"}, {"jar": Path("x.jar")}, {"parallelism": 2}, {"environment": "process"}]
)
def test_options_of_another_engine_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"is for --engine flink"):
        engine_of("embedded", **{**NOTHING, **given})


CLOUD = ("--project=p", "--region", "r", "--temp_location=gs://b/t", "--sdk_container_image=i")


def test_spark_and_dataflow_take_few_options() -> None:
    spark = engine_of("spark", job_endpoint="host:8099", parallelism=8)
    assert spark == SparkOptions("host:8099", 8)
    hint = "type:nvidia-l4;count:1"
    assert engine_of("dataflow", CLOUD, accelerator=hint) == DataflowOptions(2, hint, CLOUD)


@pytest.mark.parametrize(
    ("engine", "flags", "given", "message"),
    [
        ("spark", (), {}, "needs --job-endpoint"),
        ("spark", (), {"job_endpoint": "h:1", "accelerator": "x"}, "--accelerator is for --engine dataflow"),
        ("flink", (), {"job_endpoint": "h:1"}, "--job-endpoint is for --engine spark"),
        ("dataflow", CLOUD, {"environment": "loopback"}, "--environment is for --engine flink and --engine spark"),
        ("dataflow", CLOUD[1:], {}, "needs, after --, --project"),
        ("dataflow", (), {}, "--project, --region, --temp_location, --sdk_container_image"),
    ],
)
def test_what_an_engine_lacks_is_named(
    engine: str, flags: tuple[str, ...], given: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        engine_of(engine, flags, **given)


def test_flags_that_exist_pass() -> None:
    check_flags(["--direct_runner_bundle_repeat=1", "--max_cache_memory_usage_mb", "100"])
    check_flags(["--max_bundle_size=10", "--max_bundle_size", "10"], ["max_bundle_size", "parallelism"])


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--direct_runner_bundle_repeatt=1", "no flag '--direct_runner_bundle_repeatt=1'"),
        ("--direct_runner_bundle_rep=1", "no flag"),
        ("--max_bundle_size=10", "no flag"),
        ("stray", "no flag 'stray'"),
        ("--direct_num_workers=two", "invalid int value"),
        ("--runner=PrismRunner", "--runner is set by --engine"),
        ("--job_endpoint=embed", "--job_endpoint is set by --engine"),
    ],
)
def test_flags_that_are_wrong_are_refused(flag: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_flags([flag], [])
