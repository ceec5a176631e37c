"""Writes a first ``audit.yaml``: looks at the files, chooses the columns, explains every choice in a comment."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.pipelines.reading.snapshot.conventions import ending_of
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.pipelines.reading.snapshot.unread import counted_endings, files_by_ending, unread_data
from corpus_audit.runners.init.choices import (
    DOMAIN_NAMES,
    LANGUAGE_NAMES,
    Choice,
    choose_domain,
    id_column,
    is_category,
    last_part,
    named_like,
    url_column,
)
from corpus_audit.runners.init.samples import Column, Look, look_at
from corpus_audit.runners.init.text import TextChoice, choose_text, evidence, given_text, no_text_message
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.run.snapshot import Shard, UnreadFile
from corpus_audit.schemas.spec.audit import SnapshotSpec
from corpus_audit.schemas.yaml.yaml_tree import yaml_scalar

_LISTED = 12
_LEVELS_UP = 3


@dataclass(frozen=True, slots=True)
class Proposal:
    """A first spec.

    Attributes:
        text: of the ``audit.yaml``.
        complete: whether a run can start from it; it cannot without a tokenizer.
    """

    text: str
    complete: bool


def propose_audit(
    paths: Sequence[str],
    target: Path,
    tokenizer: str | None = None,
    policy: str | None = None,
    text: str | None = None,
    ask: Callable[[TextChoice, list[str]], str] | None = None,
) -> Proposal:
    """An ``audit.yaml`` that audits the files at ``paths``.

    Args:
        paths: files, folders, globs or URLs, relative to the working directory.
        target: where the text is going to be written; its relative paths start from that folder.
        tokenizer: path of a ``tokenizer.json`` or a hub name. Without it, the nearest ``tokenizer.json`` beside or
            above the data or the target is taken; failing that, the text holds a line to fill in.
        policy: name of the policy file beside the target, if one is going to be there.
        text: name of the column to audit, if that is known.
        ask: has a person choose among the candidates of a doubtful choice, given the evidence (`init_text.evidence`);
            returns a column's name. Without it a doubt is an error.

    Raises:
        UsageError: nothing is found there, no shard can be read, no column holds text, or it is doubtful which does.
    """
    base = target.absolute().parent
    try:
        listing = list_files(SnapshotSpec(paths=tuple(paths)), Path.cwd())
    except NoVerdictError as error:
        raise UsageError(str(error)) from error
    shards = list(listing.shards)
    look = look_at(shards)
    if not look.rows:
        reasons = "; ".join(f"{name}: {why}" for name, why in look.unreadable)
        raise UsageError(f"no row could be read in {len(shards)} shards ({reasons})")
    choice = choose_text(look) if text is None else given_text(look, text)
    if choice.column is None:
        raise UsageError(no_text_message(look, choice))
    if choice.doubts:
        if ask is None:
            raise UsageError(_doubtful(choice))
        choice = given_text(look, ask(choice, evidence(look)))
    column = choice.column
    assert column is not None
    identity = id_column(look, column)
    taken = {column.name} | ({identity.name} if identity else set())
    url = url_column(look, taken)
    domain = choose_domain(look, taken, url, shards)
    tokens = _tokenizer(tokenizer, shards, base)
    complete = any(line.startswith("tokenizer:") for line in tokens)
    lines = [
        *_head(look, shards, target.name, complete),
        *_snapshot(paths, shards, base, unread_data(listing.unread)),
        *_document(look, column, choice.why, identity, domain, url),
        *tokens,
        *_policy(policy),
        *_optional(domain, look, column),
    ]
    return Proposal("\n".join(lines), complete)


def _doubtful(choice: TextChoice) -> str:
    assert choice.column is not None
    options = " or ".join(f"--text {shlex.quote(name)}" for name in choice.candidates[:4])
    return f"which column is the text is doubtful: {'; '.join(choice.doubts)}. Say which one to audit: {options}"


def _head(look: Look, shards: list[Shard], name: str, complete: bool) -> list[str]:
    first = "Check the choices below" if complete else "Check the choices below and fill in the tokenizer"
    lines = [
        f"# Proposed by 'corpus-audit init' after a look at {look.rows:,} rows of {len(look.shards):,} of "
        f"{len(shards):,} shards.",
        f"# {first}, then: corpus-audit run {_one_line(name)}",
        "# An editor checks it as you write with 'corpus-audit schema > audit.schema.json' and this as the first line:",
        "# # yaml-language-server: $schema=audit.schema.json",
    ]
    lines += [f"# Not readable: {_one_line(shard)}: {_one_line(why)}" for shard, why in look.unreadable]
    return [*lines, "", "version: 1"]


def _snapshot(paths: Sequence[str], shards: list[Shard], base: Path, unread: Sequence[UnreadFile]) -> list[str]:
    formats = Counter(shard.format.value for shard in shards)
    megabytes = sum(shard.size for shard in shards) / 1e6
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(formats.items()))
    return [
        f"name: {yaml_scalar(_corpus_name(paths[0], base))}",
        "",
        "snapshot:",
        f"  # Files, folders (with all below them) or globs. Now: {kinds}; {megabytes:,.1f} MB.",
        "  paths:",
        *(f"    - {yaml_scalar(_relative(path, base))}" for path in paths),
        *_ignored(unread),
        "  # The shards' SHA-256, as sha256sum writes them: a shard that differs or is missing is then an error.",
        "  #manifest: MANIFEST.sha256",
        "",
    ]


def _ignored(unread: Sequence[UnreadFile]) -> list[str]:
    """What is not read and may be data, and how it would be left out."""
    if not unread:
        return [
            "  # Globs of files that are left out; any other file that is not read means that there is no verdict.",
            "  #ignore: ['*.txt']",
        ]
    names = [file.name for file in unread]
    endings = [ending for ending, _ in counted_endings(names) if ending]
    patterns = [f"*{ending}" for ending in endings] + [name for name in names if not ending_of(name)]
    return [
        f"  # Not read: {_one_line(files_by_ending(names))}, such as {_one_line(names[0])}.",
        "  # As long as they are not under ignore (globs), there is no verdict: they may be a part of the corpus.",
        f"  #ignore: [{', '.join(yaml_scalar(pattern) for pattern in patterns[:_LISTED])}]",
    ]


def _document(
    look: Look, text: Column, why: str, identity: Column | None, domain: Choice, url: Column | None
) -> list[str]:
    lines = [
        "document:",
        "  # Columns in the sample:",
        *(f"  # {line}" for line in evidence(look)),
        f"  # The text is {_one_line(text.name)}: {why}.",
        f"  text: {yaml_scalar(text.name)}",
    ]
    odd = len(text.values) - len(text.texts)
    if odd:
        lines.append(f"  # {odd:,} of its {len(text.values):,} values are no texts: those rows will be dead letters.")
    missing = len(look.shards) - len(text.shards)
    if missing:
        lines.append(f"  # {missing} of the shards looked at have no such column: their rows will be dead letters.")
    if identity is not None:
        lines.append(f"  id: {yaml_scalar(identity.name)}")
    else:
        lines += ["  # The column that names a document; examples in the report then carry it.", "  #id: id"]
    listed = ", ".join(_one_line(value) for value, _ in domain.values.most_common(_LISTED))
    more = ", …" if len(domain.values) > _LISTED else ""
    lines += [
        f"  # The category whose proportions matter; {domain.why}: {listed}{more}.",
        f"  domain: {domain.yaml}",
        *_facets(look, text, identity, domain, url),
        "  # The sampling unit for intervals: documents of one host are alike, so intervals by host are honest ones.",
        f"  #cluster: {{url_host: {yaml_scalar(url.name if url else 'url')}}}",
        "",
    ]
    return lines


def _facets(look: Look, text: Column, identity: Column | None, domain: Choice, url: Column | None) -> list[str]:
    taken = {text.name, domain.column or ""} | ({identity.name} if identity else set())
    categories = [column for column in look.columns.values() if is_category(column, taken)]
    several = [column for column in categories if len(set(column.values)) > 1]
    chosen: dict[str, str] = {}
    for column in named_like(several, LANGUAGE_NAMES)[:1] + named_like(several, DOMAIN_NAMES)[:2]:
        name = "language" if last_part(column) in LANGUAGE_NAMES else last_part(column)
        if name.isidentifier() and name != "domain" and column.name not in chosen.values():
            chosen.setdefault(name, column.name)
    suggestion = "language: lang"
    if url is not None and url.name != domain.column:
        suggestion = f"host: {{url_host: {yaml_scalar(url.name)}}}"
    lines = ["  # Further ways to cut the corpus, by any name; each gets its own table of shares."]
    if not chosen:
        return [*lines, "  #facets:", f"  #  {suggestion}"]
    lines += ["  facets:", *(f"    {name}: {yaml_scalar(column)}" for name, column in chosen.items())]
    return lines if suggestion.startswith("language") else [*lines, f"    #{suggestion}"]


def _tokenizer(given: str | None, shards: list[Shard], base: Path) -> list[str]:
    lines = ["# Path of a tokenizer.json, or a hub name (with the hub extra installed)."]
    if given is not None:
        is_file = Path(given).exists()
        if not is_file and (given.endswith(".json") or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", given)):
            raise UsageError(f"tokenizer {given}: there is no such file")
        path = Path(given) / "tokenizer.json" if Path(given).is_dir() else Path(given)
        return [*lines, f"tokenizer: {yaml_scalar(_relative(str(path), base) if is_file else given)}", ""]
    found = _nearest_tokenizer(shards, base)
    if found is None:
        return [
            "# No tokenizer.json was found beside the data. Fill in the one that the model is trained with: tokens are",
            "# counted with it, and nothing runs before this line is complete. It is the file tokenizer.json in the",
            "# model's folder or on its page of the hub; training scripts save one with tokenizer.save_pretrained.",
            *lines,
            "#tokenizer: path/to/tokenizer.json",
            "",
        ]
    return [*lines, f"tokenizer: {yaml_scalar(_relative(str(found), base))}", ""]


def _nearest_tokenizer(shards: list[Shard], base: Path) -> Path | None:
    level = [*sorted({Path(shard.path).parent for shard in shards if shard.is_local}), base]
    for _ in range(_LEVELS_UP + 1):
        for folder in level:
            for name in ("tokenizer.json", "tokenizer/tokenizer.json"):
                if (folder / name).is_file():
                    return folder / name
        level = list(dict.fromkeys(folder.parent for folder in level))
    return None


def _policy(policy: str | None) -> list[str]:
    lines = [
        "# The rules that judge every run; the exit code is then the verdict. Starter policies: init --policy.",
        f"policy: {yaml_scalar(policy)}" if policy else "#policy: policy.yaml",
    ]
    return [*lines, ""]


def _optional(domain: Choice, look: Look, text: Column) -> list[str]:
    names = [value for value, _ in domain.values.most_common(_LISTED)]
    return [
        "# What the training mixture is meant to be, by domain: the report then shows where the corpus differs.",
        "# Weights are normalised; the unit is documents, bytes or tokens. These are the domains of the sample.",
        "#mixture:",
        "#  unit: tokens",
        "#  weights:",
        *(f"#    {yaml_scalar(name)}: 1" for name in names),
        "",
        "# Rows to keep; what each clause drops is counted under its name.",
        "# Operators: ==, !=, <, <=, >, >=, in, not_in, matches (RE2), is_null, not_null.",
        "#filter:",
        f"#  - {{name: has_words, column: {yaml_scalar(text.name)}, op: matches, value: '\\w'}}",
        "",
        "# Read only this share of the splits, chosen by hash; every table and interval then says so.",
        "#sample:",
        "#  share: 0.1",
        "#  seed: 0",
        "",
        "# A finished run to compare with, or two: its run directory, or an output folder, whose newest run is taken.",
        "# What both snapshots hold is kept apart; not together with sample.",
        "#baseline:",
        "#  - {run: runs, label: last run}",
        "",
        "# What sampling strategies would draw for a budget of training tokens; parameters are the model's.",
        "#sampling:",
        "#  budget: 1.0e+9",
        "#  parameters: 1.0e+8",
        "#  strategies:",
        "#    - proportional",
        "#    - temperature: {alpha: 0.3}",
        "#    - unimax: {epoch_cap: 4.0}",
        "",
        "# Test sets that the corpus should not hold: JSON lines or Parquet with a prompt and perhaps an answer.",
        "#benchmarks:",
        "#  - {name: my test set, paths: [benchmarks/test.jsonl], prompt: prompt, answer: answer, id: id}",
        "#contamination:",
        "#  boilerplate_limit: 10",
        "",
        "# Which documents make a model's units fire: corpus-audit index, then lookup (needs the embeddings extra).",
        "#embedding:",
        "#  model: models/my-model",
        "#  units: ['mlp.*:*', 'resid.*:*']",
        "",
        "# Bounds; the values are the defaults. Longer documents are dead letters; more dead letters than the share",
        "# mean that there is no verdict; a shard that decodes to more than expansion times its size is an error.",
        "#limits:",
        "#  document_bytes: 67108864",
        "#  dead_letter_share: 0.0001",
        "#  shard_dead_letter_share: 0.1",
        "#  expansion: 200",
        "#  dead_letter_excerpts: false",
        "",
        "# Keep a short excerpt of the sampled documents, so that later drift reports can show examples.",
        "#excerpts: true",
        "# Also write a table with the counts of every document.",
        "#per_document: false",
        "",
        "# Who is told when a run fails, has no verdict or breaks off: a command that reads the Markdown summary, or a",
        "# webhook that JSON is posted to (webhook_env: where its URL is a secret).",
        "#notify:",
        "#  - {command: [./tell.sh], when: [fail, none, error]}",
        "#  - {webhook_env: CORPUS_HOOK_URL}",
        "",
        "# Where run directories go, and where partial results are kept for the next run.",
        "#output: runs",
        "#store: runs/.store",
        "# Keep both in an object store too: other machines go on from there, and runs are fetched from it.",
        "#remote: s3://bucket/audits",
        "",
    ]


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:120]


def _corpus_name(path: str, base: Path) -> str:
    known = path if "://" in path else str(Path(path).absolute())
    parts = [part for part in re.split(r"[/\\]", known) if part and not re.search(r"[*?\[]", part)]
    named = [part for part in parts if part not in ("data", "train", "shards")] or [base.name]
    return re.sub(r"(\.(parquet|pq|jsonl|ndjson|json|arrow|feather|ipc|gz|zst))+$", "", named[-1])[:120] or "corpus"


def _relative(path: str, base: Path) -> str:
    """The path as it is written into the spec: relative to its folder unless that is far away, with slashes."""
    if "://" in path:
        return path
    absolute = os.path.abspath(path)  # noqa: PTH100 - links keep their names, and a glob is not a path
    relative = os.path.relpath(absolute, base)
    near = Path(relative).parts.count("..") <= 2
    return (relative if near else absolute).replace(os.sep, "/")
