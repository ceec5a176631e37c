"""The `evals:` section that `investigate init` proposes: evaluation files by the step and run that their paths name."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from corpus_audit.checks.text.numbers import plural
from corpus_audit.checks.text.safe_text import safe_text

MOST_EVALUATIONS = 200
"""Evaluations that are proposed, as many as a spec may have; more are counted in a comment."""

_STEP = re.compile(
    r"(?:^|[^a-z0-9])(?:global[-_]?step|steps?|iter(?:ation)?s?|checkpoint|ckpt)[-_=]?(\d{1,15})(k?)(?![a-z0-9])",
    re.IGNORECASE,
)

_ONE_FILE = ("Inspect archive", "Inspect log", "tau-bench results", "OpenAI evals log", "alpaca_eval annotations")


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run of the proposal: its id and the folders of its logs."""

    id: str
    folders: tuple[PurePosixPath, ...]


@dataclass(frozen=True, slots=True)
class ProposedEvaluation:
    """Evaluation files below one path; run and step are None where the path does not say which they are."""

    run: str | None
    step: int | None
    path: str
    formats: tuple[str, ...]
    files: int


def propose_evaluations(files: Iterable[tuple[str, str]], runs: Sequence[KnownRun]) -> tuple[ProposedEvaluation, ...]:
    """Group evaluation files by the step in their paths, or by folder where there is none.

    Args:
        files: (path relative to the spec, format).
        runs: those that the spec has. A run is the one whose id, with or without a suffix, is a part of the path, or
            whose logs alone lie nearest, or the only one.
    """
    groups: dict[str, tuple[int | None, Counter[str]]] = {}
    for name, kind in files:
        path, step = _step_of(PurePosixPath(name))
        groups.setdefault(path.as_posix(), (step, Counter()))[1][kind] += 1
    proposed = [
        ProposedEvaluation(_run_of(PurePosixPath(path), runs), step, path, tuple(sorted(kinds)), kinds.total())
        for path, (step, kinds) in groups.items()
    ]
    known = {run.id: number for number, run in enumerate(runs)}
    return tuple(sorted(proposed, key=lambda e: (known.get(e.run or "", len(runs)), e.step or 0, e.path)))


def propose_models(files: Sequence[tuple[str, str]]) -> tuple[ProposedEvaluation, ...]:
    """Group evaluation files where there is no run: the first folder in which their paths differ names the model.

    The step is the one that a path names, else 0. Files of a single folder are one evaluation, but two logs of programs
    that write one file an evaluation are two.

    Args:
        files: (path relative to the spec, format).
    """
    single = len(files) == 2 and all(kind in _ONE_FILE for _, kind in files)
    groups: dict[PurePosixPath, tuple[int | None, Counter[str]]] = {}
    for name, kind in files:
        path, step = _step_of(PurePosixPath(name))
        groups.setdefault(PurePosixPath(name) if single and step is None else path, (step, Counter()))[1][kind] += 1
    first = next(iter(groups))
    shared = min(_shared(path, first) for path in groups) if len(groups) > 1 else len(first.parts)
    names: dict[PurePosixPath, str] = {}
    merged: dict[tuple[PurePosixPath, int | None], tuple[dict[str, None], Counter[str]]] = {}
    for path, (step, kinds) in groups.items():
        below = path.parts[shared:]
        # Folders that a step tells apart are checkpoints of one model, which the folder above them names.
        depth = shared + bool(below and _STEP.search(below[0]) is None)
        folder = PurePosixPath(*path.parts[:depth])
        if folder not in names:
            names[folder] = _free_name(folder, names.values())
        paths, counts = merged.setdefault((folder, step), ({}, Counter()))
        paths[(folder if step is None else path).as_posix()] = None
        counts.update(kinds)
    proposed = [
        ProposedEvaluation(names[folder], step or 0, path, tuple(sorted(counts)), 0 if number else counts.total())
        for (folder, step), (paths, counts) in merged.items()
        for number, path in enumerate(paths)
    ]
    return tuple(sorted(proposed, key=lambda each: (each.run or "", each.step or 0, each.path)))


def _free_name(folder: PurePosixPath, names: Iterable[str]) -> str:
    """A name for a model from the last folder that has letters, which no other model has."""
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-._") for part in folder.parts]
    stem = next((part for part in reversed(parts) if part), "model")[:50].rstrip("-._")
    known = set(names)
    number = next(number for number in range(1, len(known) + 2) if _numbered(stem, number) not in known)
    return _numbered(stem, number)


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"


def evaluation_lines(evaluations: Sequence[ProposedEvaluation]) -> list[str]:
    """Lines of the spec: `evals:`, or the same as comments where there are not two to compare."""
    if not evaluations:
        return []
    by_step: dict[tuple[str, int], list[ProposedEvaluation]] = {}
    unknown = []
    for each in evaluations:
        if each.run is None or each.step is None:
            unknown.append(each)
        else:
            by_step.setdefault((each.run, each.step), []).append(each)
    listed = list(by_step.items())
    mark = "" if len(listed) > 1 else "# "
    if mark:
        lines = ["# one evaluation was recognised, and there is none to compare it with: list another one below"]
    else:
        lines = []
    lines.append(f"{mark}evals:                             # steps of a run are compared, and the last of two runs")
    for (run, step), parts in listed[:MOST_EVALUATIONS]:
        paths = ", ".join(json.dumps(part.path) for part in parts)
        lines.append(f"{mark}  # {_about(parts)}")
        at = f"step: {step}, " if step else ""
        lines.append(f"{mark}  - {{run: {json.dumps(run)}, {at}paths: [{paths}]}}")
    if len(listed) > MOST_EVALUATIONS:
        lines.append(f"  # {plural(len(listed) - MOST_EVALUATIONS, 'further evaluation')} left out")
    for each in unknown[:20]:
        run_and_step = f"run: {json.dumps(each.run or 'RUN')}, step: {'STEP' if each.step is None else each.step}"
        lines.append(f"  # {_about([each])}; its path does not say of which {_lacking(each)}")
        lines.append(f"  # - {{{run_and_step}, paths: [{json.dumps(each.path)}]}}")
    if len(unknown) > 20:
        lines.append(f"  # {plural(len(unknown) - 20, 'further evaluation')} whose path does not say run or step")
    lines += [
        "# primary: [mmlu, gsm8k]             # the tasks that matter most",
        "# cluster: {drop: passage_id}        # by task, the field of an item that says which items belong together",
        '# safety: {refusal: ["xstest:grade<=0.5"]}   # scores that count as refusals; harm: [...]',
        "# contamination: {audit: runs, rule: llama2}   # an audit that looked for these benchmarks; or list: FILE",
    ]
    return lines


def _about(parts: Sequence[ProposedEvaluation]) -> str:
    formats = sorted({kind for part in parts for kind in part.formats})
    return safe_text(f"{', '.join(formats)}: {plural(sum(part.files for part in parts), 'file')}", 100)


def _lacking(evaluation: ProposedEvaluation) -> str:
    return " and ".join(name for name in ("run", "step") if getattr(evaluation, name) is None)


def _step_of(path: PurePosixPath) -> tuple[PurePosixPath, int | None]:
    """The deepest part of a path that names a step, with the step; the file's folder where none does."""
    for part in (path, *path.parents):
        match = _STEP.search(part.name)
        if match is not None:
            return part, int(match[1]) * (1000 if match[2] else 1)
    return path.parent if path.parent != PurePosixPath() else path, None


def _run_of(path: PurePosixPath, runs: Sequence[KnownRun]) -> str | None:
    for part in reversed(path.parts):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-._")
        named = [run for run in runs if run.id == name] or [run for run in runs if PurePosixPath(run.id).stem == name]
        if name and len(named) == 1:
            return named[0].id
    if len(runs) == 1:
        return runs[0].id
    depth = {run.id: max((_shared(path, folder) for folder in run.folders), default=0) for run in runs}
    nearest = [run for run, shared in depth.items() if shared == max(depth.values())]
    return nearest[0] if len(nearest) == 1 else None


def _shared(a: PurePosixPath, b: PurePosixPath) -> int:
    """How many parts two paths begin with alike."""
    count = 0
    for one, other in zip(a.parts, b.parts, strict=False):
        if one != other:
            break
        count += 1
    return count
