"""The sections of a proposed ``audit.yaml``, as lines of YAML with comments that explain every choice."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from corpus_audit.checks.text.numbers import plural
from corpus_audit.pipelines.reading.snapshot.conventions import ending_of
from corpus_audit.pipelines.reading.snapshot.unread import counted_endings, files_by_ending
from corpus_audit.runners.init.choices import (
    DOMAIN_NAMES,
    LANGUAGE_NAMES,
    Choice,
    is_category,
    last_part,
    named_like,
)
from corpus_audit.runners.init.samples import Column, SnapshotSample
from corpus_audit.runners.init.text_column import column_table
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat, UnreadFile
from corpus_audit.schemas.yaml.yaml_tree import yaml_scalar

_LISTED = 12
"""Values and patterns that a comment lists."""


_MANIFEST = (
    "  # SHA-256 of the shards, as sha256sum writes them: a shard that differs or is missing is then an error.",
    "  #manifest: MANIFEST.sha256",
)


def head_lines(sample: SnapshotSample, shards: list[Shard], name: str, complete: bool) -> list[str]:
    """The first comment and the version."""
    first = "Check the choices below" if complete else "Check the choices below and fill in the tokenizer"
    lines = [
        f"# Proposed by 'corpus-audit init' from {plural(sample.rows, 'row')} of {len(sample.shards):,} of "
        f"{plural(len(shards), 'shard')}.",
        f"# {first}, then: corpus-audit run {_one_line(name)}",
        "# For checks in your editor, run 'corpus-audit schema > audit.schema.json' and make this the first line:",
        "# # yaml-language-server: $schema=audit.schema.json",
    ]
    lines += [f"# Could not be read: {_one_line(shard)}: {_one_line(why)}" for shard, why in sample.unreadable]
    return [*lines, "", "version: 1"]


def snapshot_lines(paths: Sequence[str], shards: list[Shard], base: Path, unread: Sequence[UnreadFile]) -> list[str]:
    """The name of the corpus and its paths."""
    formats = Counter(shard.format.value for shard in shards)
    megabytes = sum(shard.size for shard in shards) / 1e6
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(formats.items()))
    return [
        f"name: {yaml_scalar(_corpus_name(paths[0], base))}",
        "",
        "snapshot:",
        f"  # Files, folders (read recursively) or globs. At present: {kinds}; {megabytes:,.1f} MB.",
        "  paths:",
        *(f"    - {yaml_scalar(relative_path(path, base))}" for path in paths),
        *_ignored(unread),
        *([] if ShardFormat.IMAGE_FOLDER.value in formats else _MANIFEST),
        "",
    ]


def _ignored(unread: Sequence[UnreadFile]) -> list[str]:
    """The files that are not read and may be data, and how to ignore them."""
    if not unread:
        return [
            "  # Globs of files to ignore; without that, a file that cannot be read as data means no verdict.",
            "  #ignore: ['*.txt']",
        ]
    names = [file.name for file in unread]
    endings = [ending for ending, _ in counted_endings(names) if ending]
    patterns = [f"*{ending}" for ending in endings] + [name for name in names if not ending_of(name)]
    return [
        f"  # Not read: {_one_line(files_by_ending(names))}, such as {_one_line(names[0])}.",
        "  # They may be part of the corpus, so there is no verdict until ignore (globs) names them.",
        f"  #ignore: [{', '.join(yaml_scalar(pattern) for pattern in patterns[:_LISTED])}]",
    ]


def document_lines(
    sample: SnapshotSample, text: Column, why: str, identity: Column | None, domain: Choice, url: Column | None
) -> list[str]:
    """The columns that hold text, id and domain, with the reasons for each."""
    lines = [
        "document:",
        "  # Columns in the sample:",
        *(f"  # {line}" for line in column_table(sample)),
        f"  # The text is {_one_line(text.name)}: {why}.",
        f"  text: {yaml_scalar(text.name)}",
    ]
    odd = len(text.values) - len(text.texts)
    if odd:
        lines.append(
            f"  # {odd:,} of its {plural(len(text.values), 'value')} {'is' if odd == 1 else 'are'} not text: "
            f"{'that row will be a dead letter' if odd == 1 else 'those rows will be dead letters'}."
        )
    missing = len(sample.shards) - len(text.shards)
    if missing:
        lines.append(
            f"  # {missing} of {plural(len(sample.shards), 'sampled shard')} {'has' if missing == 1 else 'have'} no "
            "such column: the rows will be dead letters."
        )
    if identity is not None:
        lines.append(f"  id: {yaml_scalar(identity.name)}")
    else:
        lines += ["  # The column with the document's id, which examples in the report then show.", "  #id: id"]
    listed = ", ".join(_one_line(value) for value, _ in domain.values.most_common(_LISTED))
    more = ", …" if len(domain.values) > _LISTED else ""
    lines += [
        f"  # The category whose shares are reported and compared; {domain.why}: {listed}{more}.",
        f"  domain: {domain.yaml}",
        *_facets(sample, text, identity, domain, url),
        "  # The cluster for confidence intervals: documents of a host are alike; otherwise intervals are too narrow.",
        f"  #cluster: {{url_host: {yaml_scalar(url.name if url else 'url')}}}",
        "",
    ]
    return lines


def _facets(
    sample: SnapshotSample, text: Column, identity: Column | None, domain: Choice, url: Column | None
) -> list[str]:
    used = {text.name, domain.column or ""} | ({identity.name} if identity else set())
    categories = [column for column in sample.columns.values() if is_category(column, used)]
    several = [column for column in categories if len(set(column.values)) > 1]
    facets: dict[str, str] = {}
    for column in named_like(several, LANGUAGE_NAMES)[:1] + named_like(several, DOMAIN_NAMES)[:2]:
        name = "language" if last_part(column) in LANGUAGE_NAMES else last_part(column)
        if name.isidentifier() and name != "domain" and column.name not in facets.values():
            facets.setdefault(name, column.name)
    suggestion = "language: lang"
    if url is not None and url.name != domain.column:
        suggestion = f"host: {{url_host: {yaml_scalar(url.name)}}}"
    lines = ["  # Further facets of the corpus, with any names; the report has a table of shares for each."]
    if not facets:
        return [*lines, "  #facets:", f"  #  {suggestion}"]
    lines += ["  facets:", *(f"    {name}: {yaml_scalar(column)}" for name, column in facets.items())]
    return lines if suggestion.startswith("language") else [*lines, f"    #{suggestion}"]


def policy_lines(policy: str | None) -> list[str]:
    """The policy, or how to name one."""
    lines = [
        "# The rules that judge every run; the exit code follows the verdict. For starter policies: init --policy.",
        f"policy: {yaml_scalar(policy)}" if policy else "#policy: policy.yaml",
    ]
    return [*lines, ""]


def optional_lines(domain: Choice, sample: SnapshotSample, text: Column) -> list[str]:
    """Every other section, commented out, with values to start from."""
    names = [value for value, _ in domain.values.most_common(_LISTED)]
    return [
        "# The mixture that you intend to train on, by domain: the report then shows how the corpus differs from it.",
        "# Weights are normalised; the unit is documents, bytes or tokens. These are the domains of the sample.",
        "#mixture:",
        "#  unit: tokens",
        "#  weights:",
        *(f"#    {yaml_scalar(name)}: 1" for name in names),
        "",
        "# Rows to keep; the rows that a clause drops are counted under its name.",
        "# Operators: ==, !=, <, <=, >, >=, in, not_in, matches (RE2), is_null, not_null.",
        "#filter:",
        f"#  - {{name: has_words, column: {yaml_scalar(text.name)}, op: matches, value: '\\w'}}",
        "",
        "# Read only this share of the splits, selected by hash; tables and intervals then account for it.",
        "#sample:",
        "#  share: 0.1",
        "#  seed: 0",
        "",
        "# One or more finished runs to compare with: a run directory, or an output folder, whose newest run is used.",
        "# With passed: true that is the newest run whose verdict is pass or warn, so that a broken delivery is none.",
        "# Documents that both snapshots hold are treated as unchanged. Cannot be used with sample.",
        "#baseline:",
        "#  - {run: runs, label: last run}",
        "",
        "# What sampling strategies would draw for a budget of training tokens; parameters is the size of the model.",
        "#sampling:",
        "#  budget: 1.0e+9",
        "#  parameters: 1.0e+8",
        "#  strategies:",
        "#    - proportional",
        "#    - temperature: {alpha: 0.3}",
        "#    - unimax: {epoch_cap: 4.0}",
        "",
        "# Test sets that must not leak into the corpus: JSON lines or Parquet with a prompt and perhaps an answer.",
        "#benchmarks:",
        "#  - {name: my test set, paths: [benchmarks/test.jsonl], prompt: prompt, answer: answer, id: id}",
        "#contamination:",
        "#  boilerplate_limit: 10",
        "",
        "# Find the documents that make a model's units fire: corpus-audit index, then lookup (embeddings extra).",
        "#embedding:",
        "#  model: models/my-model",
        "#  units: ['mlp.*:*', 'resid.*:*']",
        "",
        "# A published investigation of training runs, or a folder of several, whose newest is used: its findings are",
        "# figures of the run (corpus-audit investigate).",
        "#investigation: investigations",
        "",
        "# Limits, with their defaults. A longer document is a dead letter; a larger share of dead letters means no",
        "# verdict; a shard that decodes to more than expansion times its size is an error.",
        "#limits:",
        "#  document_bytes: 67108864",
        "#  dead_letter_share: 0.0001",
        "#  shard_dead_letter_share: 0.1",
        "#  expansion: 200",
        "#  dead_letter_excerpts: false",
        "",
        "# Store short excerpts of the sampled documents, so that later drift reports can show examples.",
        "#excerpts: true",
        "# Also write a table with the counts of every document.",
        "#per_document: false",
        "",
        "# Notify when a run fails, has no verdict or ends with an error: a command that gets the Markdown summary as",
        "# input, or a webhook that gets JSON (webhook_env: the URL is a secret).",
        "#notify:",
        "#  - {command: [./tell.sh], when: [fail, none, error]}",
        "#  - {webhook_env: CORPUS_HOOK_URL}",
        "",
        "# The folder of the run directories, and the store of partial results for later runs.",
        "#output: runs",
        "#store: runs/.store",
        "# Copy both to an object store: other machines can continue from it, and `fetch` gets runs from it.",
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


def relative_path(path: str, base: Path) -> str:
    """The path as it is written into the spec: relative to its folder unless that is far away, with slashes."""
    if "://" in path:
        return path
    absolute = os.path.abspath(path)  # noqa: PTH100 - links keep their names, and a glob is not a path
    relative = os.path.relpath(absolute, base)
    near = Path(relative).parts.count("..") <= 2
    return (relative if near else absolute).replace(os.sep, "/")
