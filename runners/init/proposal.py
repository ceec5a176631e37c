"""Propose a first ``audit.yaml``: sample the files, select the columns, find a tokenizer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.checks.text.numbers import plural
from corpus_audit.pipelines.reading.snapshot.listing import Listing, list_files
from corpus_audit.pipelines.reading.snapshot.unread import unread_data
from corpus_audit.runners.init.choices import (
    choose_domain,
    id_column,
    url_column,
)
from corpus_audit.runners.init.images import (
    captions_of,
    document_lines_of_images,
    image_sample,
    is_corpus_of_images,
    optional_lines_of_images,
)
from corpus_audit.runners.init.samples import sample_snapshot
from corpus_audit.runners.init.spec_sections import (
    document_lines,
    head_lines,
    optional_lines,
    policy_lines,
    relative_path,
    snapshot_lines,
)
from corpus_audit.runners.init.text_column import TextChoice, choose_text, column_table, no_text_message, text_by_name
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.run.snapshot import Shard
from corpus_audit.schemas.spec.audit import SnapshotSpec
from corpus_audit.schemas.yaml.yaml_tree import yaml_scalar

_LEVELS_UP = 3
"""Folders above the data in which a tokenizer.json is looked for."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed spec.

    Attributes:
        text: the ``audit.yaml``.
        complete: whether a run can start from it; it cannot without a tokenizer.
        of_images: whether the corpus is one of images.
    """

    text: str
    complete: bool
    of_images: bool = False


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
        tokenizer: path of a ``tokenizer.json`` or a hub name. By default, the nearest ``tokenizer.json`` beside or
            above the data or the target; if there is none, the text has a line to fill in.
        policy: name of the policy file beside the target, if one is going to be there.
        text: name of the column to audit, if that is known; of images, that of the captions.
        ask: asks a person which of the candidates is the text; it gets the choice and the lines of `column_table`, and
            returns the name of a column. Without it, doubt is an error.

    Raises:
        UsageError: there is no file, no shard can be read, no column holds text, or it is in doubt which does.
    """
    base = target.absolute().parent
    listing, problem = _listed(paths, images=False)
    pictures, _ = _listed(paths, images=True)
    image = is_corpus_of_images(listing, pictures)
    if image is not None and pictures is not None:
        return _propose_images(pictures, image, paths, target, tokenizer, policy, text)
    if listing is None:
        raise UsageError(problem)
    shards = list(listing.shards)
    sample = sample_snapshot(shards)
    if not sample.rows:
        reasons = "; ".join(f"{name}: {why}" for name, why in sample.unreadable)
        raise UsageError(f"no row could be read from {plural(len(shards), 'shard')} ({reasons})")
    choice = choose_text(sample) if text is None else text_by_name(sample, text)
    if choice.column is None:
        raise UsageError(no_text_message(sample, choice))
    if choice.doubts:
        if ask is None:
            raise UsageError(_doubtful(choice))
        choice = text_by_name(sample, ask(choice, column_table(sample)))
    column = choice.column
    assert column is not None
    identity = id_column(sample, column)
    used = {column.name} | ({identity.name} if identity else set())
    url = url_column(sample, used)
    domain = choose_domain(sample, used, url, shards)
    tokens = _tokenizer_lines(tokenizer, shards, base)
    complete = any(line.startswith("tokenizer:") for line in tokens)
    lines = [
        *head_lines(sample, shards, target.name, complete),
        *snapshot_lines(paths, shards, base, unread_data(listing.unread)),
        *document_lines(sample, column, choice.why, identity, domain, url),
        *tokens,
        *policy_lines(policy),
        *optional_lines(domain, sample, column),
    ]
    return Proposal("\n".join(lines), complete)


def _listed(paths: Sequence[str], images: bool) -> tuple[Listing | None, str]:
    try:
        return list_files(SnapshotSpec(paths=tuple(paths)), Path.cwd(), images=images), ""
    except NoVerdictError as error:
        return None, str(error)
    except UsageError as error:
        if images:
            return None, str(error)
        raise


def _propose_images(
    listing: Listing,
    image: str,
    paths: Sequence[str],
    target: Path,
    tokenizer: str | None,
    policy: str | None,
    text: str | None,
) -> Proposal:
    base, shards = target.absolute().parent, list(listing.shards)
    sample = image_sample(shards, image)
    captions = captions_of(sample, text)
    tokens: list[str] = []
    if captions is not None:
        tokens = _tokenizer_lines(tokenizer, shards, base, captions=True)
    elif tokenizer is not None:
        raise UsageError("no column holds captions, so that there is no text for a tokenizer; name one with --text")
    complete = captions is None or any(line.startswith("tokenizer:") for line in tokens)
    lines = [
        *head_lines(sample, shards, target.name, complete),
        *snapshot_lines(paths, shards, base, unread_data(listing.unread)),
        *document_lines_of_images(sample, image, shards, captions),
        *tokens,
        *policy_lines(policy),
        *optional_lines_of_images(captions),
    ]
    return Proposal("\n".join(lines), complete, of_images=True)


def _doubtful(choice: TextChoice) -> str:
    assert choice.column is not None
    options = " or ".join(f"--text {shlex.quote(name)}" for name in choice.candidates[:4])
    doubts = "; ".join(choice.doubts)
    return f"it is in doubt which column is the text: {doubts}. Select the column to audit with {options}"


def _tokenizer_lines(given: str | None, shards: list[Shard], base: Path, captions: bool = False) -> list[str]:
    lines = ["# Path of a tokenizer.json, or a hub name (with the hub extra installed)."]
    if given is not None:
        is_file = Path(given).exists()
        if not is_file and (given.endswith(".json") or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", given)):
            raise UsageError(f"tokenizer {given}: there is no such file")
        path = Path(given) / "tokenizer.json" if Path(given).is_dir() else Path(given)
        return [*lines, f"tokenizer: {yaml_scalar(relative_path(str(path), base) if is_file else given)}", ""]
    nearest = _nearest_tokenizer(shards, base)
    if nearest is None:
        of_text = "of captions " if captions else ""
        return [
            "# No tokenizer.json was found near the data. Fill in the one of the model: it counts the",
            f"# tokens, and no audit {of_text}can run without it. It is the file tokenizer.json in the model's",
            "# folder or on its page on the hub; training scripts save one with tokenizer.save_pretrained.",
            *(["# Or remove 'text' above: then the images are audited without their captions."] if captions else []),
            *lines,
            "#tokenizer: path/to/tokenizer.json",
            "",
        ]
    return [*lines, f"tokenizer: {yaml_scalar(relative_path(str(nearest), base))}", ""]


def _nearest_tokenizer(shards: list[Shard], base: Path) -> Path | None:
    level = [*sorted({Path(shard.path).parent for shard in shards if shard.is_local}), base]
    for _ in range(_LEVELS_UP + 1):
        for folder in level:
            for name in ("tokenizer.json", "tokenizer/tokenizer.json"):
                if (folder / name).is_file():
                    return folder / name
        level = list(dict.fromkeys(folder.parent for folder in level))
    return None
