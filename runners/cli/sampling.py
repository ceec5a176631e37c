"""``corpus-audit sampling``: compare sampling strategies for an audited corpus, and audit a sampler's log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.run_paths import resolve_run
from corpus_audit.runners.cli.shared.streams import note, write_out

if TYPE_CHECKING:
    import pyarrow as pa

    from corpus_audit.schemas.spec.sampling import SamplingSpec

_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_AMOUNT = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:e[0-9]+)?)\s*([kmbt]?)", re.IGNORECASE)


def amount(text: str) -> float:
    """A count such as 300B, 1.5T or 3e11."""
    match = _AMOUNT.fullmatch(text.strip())
    value = float(match[1]) * _SCALES[match[2].lower()] if match else 0.0
    if not 1 <= value < 1e18:
        raise click.BadParameter(f"{text!r} is not a count such as 300B, 1.5T or 3e11")
    return value


@click.command(short_help="Compare sampling strategies; audit a sampler's log.")
@click.argument("audit", type=click.Path(path_type=Path))
@click.option("--budget", type=amount, metavar="COUNT", help="Training tokens: 300B, 1.5T, 3e11.")
@click.option("--parameters", type=amount, metavar="COUNT", help="Parameters of the model to train: 7B.")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="STRATEGY",
    help="proportional, temperature:ALPHA, unimax:EPOCHS or dsir:RUN; may be repeated.",
)
@click.option("--log", "log", type=click.Path(path_type=Path), help="A sampler's log to audit (Parquet, JSON lines).")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Write the tables to this folder (Parquet)."
)
@json_option
def sampling(
    audit: Path,
    budget: float | None,
    parameters: float | None,
    strategies: tuple[str, ...],
    log: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare what each sampling strategy would draw from the corpus of AUDIT's newest run.

    AUDIT is an audit.yaml, whose sampling section is used, or a run directory or output folder. Options override the
    section. No shard is read.
    """
    run_dir = resolve_run(audit)
    spec, base = _spec(audit, budget, parameters, strategies, log)
    from corpus_audit.pipelines.sampling.strategies_report import sampling_tables
    from corpus_audit.pipelines.storage.run_directory import RunDirectory
    from corpus_audit.runners.terminal.sampling import sampling_summary

    run = RunDirectory(run_dir)
    tables = sampling_tables(run, spec, base)
    if out is not None:
        _write(out, tables)
    if as_json:
        rows = {name: table.to_pylist() for name, table in tables.items()}
        emit_json("sampling", {"run": str(run_dir), "tables": str(out) if out else None, **rows})
    else:
        write_out(sampling_summary(run.facts.name, run.facts.run, tables), nl=False)


def _spec(
    audit: Path,
    budget: float | None,
    parameters: float | None,
    strategies: tuple[str, ...],
    log: Path | None,
) -> tuple[SamplingSpec, Path]:
    """The sampling section with the options in place, and the folder of its relative paths.

    Raises:
        UsageError: there is no budget, or a value is wrong.
    """
    from pydantic import ValidationError

    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.spec.sampling import SamplingSpec

    values: dict[str, Any] = {}
    base = Path.cwd()
    if audit.is_file() and audit.suffix in (".yaml", ".yml"):
        from corpus_audit.schemas.spec.audit_file import load_audit

        loaded = load_audit(audit)
        base = loaded.base
        section: SamplingSpec | None = loaded.spec.sampling
        values = section.model_dump() if section is not None else {}
    if strategies:
        values["strategies"] = tuple(_strategy(text) for text in strategies)
        if values.get("log"):
            values["log"] = values["log"] | {"strategy": None}
    values |= {name: value for name, value in (("budget", budget), ("parameters", parameters)) if value is not None}
    if log is not None:
        values["log"] = (values.get("log") or {}) | {"path": str(log.absolute())}
    if "budget" not in values:
        raise UsageError("no token budget: give --budget, or a sampling section in the audit.yaml")
    try:
        return SamplingSpec.model_validate(values), base
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"sampling: {first['msg'].removeprefix('Value error, ')} (in {first['input']!r})") from None


def _strategy(text: str) -> str | dict[str, Any]:
    from corpus_audit.schemas.errors import UsageError

    kind, _, value = text.partition(":")
    if kind == "proportional" and not value:
        return kind
    if kind == "dsir" and value:
        return {"dsir": {"target": str(Path(value).absolute())}}
    names = {"temperature": "alpha", "unimax": "epoch_cap"}
    try:
        return {kind: {names[kind]: float(value)}}
    except (KeyError, ValueError):
        raise UsageError(
            f"--strategy {text!r}: expected proportional, temperature:ALPHA, unimax:EPOCHS or dsir:RUN "
            "(weights are given in the audit.yaml)"
        ) from None


def _write(folder: Path, tables: dict[str, pa.Table]) -> None:
    from corpus_audit.pipelines.storage.run_directory import write_table
    from corpus_audit.schemas.errors import UsageError

    try:
        for name, table in tables.items():
            write_table(folder / f"{name}.parquet", table.schema, [table])
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}") from error
    note(f"wrote {len(tables)} tables into {folder}")
