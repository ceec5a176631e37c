"""Turn the path that a user gives (run directory, output folder or audit.yaml) into a run or an output folder."""

from __future__ import annotations

from pathlib import Path

from corpus_audit.schemas.errors import UsageError

# Also in pipelines/storage/run_directory.py, whose import (pyarrow) would slow every command that only finds a run.
LATEST = "LATEST"
"""File of an output folder that names the newest complete run directory."""


def resolve_run(path: Path) -> Path:
    """The run directory that a run directory, an output folder or an audit spec stands for.

    Raises:
        UsageError: there is none.
        SpecError: the spec is wrong.
    """
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    if path.is_file():
        if path.suffix not in (".yaml", ".yml"):
            raise UsageError(f"{path} is neither a run directory, an output folder nor an audit.yaml")
        from corpus_audit.schemas.spec.audit_file import load_audit

        loaded = load_audit(path)
        path = loaded.base / loaded.spec.output
    if (path / "run.json").is_file():
        return path
    try:
        name = (path / LATEST).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise UsageError(
            f"{path} holds no finished run: neither run.json nor {LATEST} is in it; 'corpus-audit run' makes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path / LATEST} cannot be read: {error}") from None
    run_dir = path / name
    if not name or not (run_dir / "run.json").is_file():
        raise UsageError(f"{path / LATEST} names the run {name!r}, which is not there; name a run directory")
    return run_dir


def output_folder(path: Path | None) -> Path:
    """The output folder that an option, or the working directory, stands for.

    Raises:
        UsageError: there is none.
        SpecError: the spec is wrong.
    """
    if path is None:
        path = next((candidate for candidate in (Path("audit.yaml"), Path("runs")) if candidate.exists()), None)
        if path is None:
            raise UsageError("there is neither audit.yaml nor runs here: name an output folder with --output")
    if path.is_file():
        from corpus_audit.schemas.spec.audit_file import load_audit

        loaded = load_audit(path)
        path = loaded.base / loaded.spec.output
    if (path / "run.json").is_file():
        path = path.resolve().parent
    if not path.is_dir():
        raise UsageError(f"{path} is no folder: 'corpus-audit run' makes one")
    return path
