"""Loads a tokenizer.json for counting: settings that would change counts are off, recorded mismatches are known."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.pipelines.tokens.denials import Denial, read_denial, write_denial
from corpus_audit.pipelines.tokens.settings import switch_off
from corpus_audit.pipelines.tokens.source import find_tokenizer, read_content
from corpus_audit.schemas.errors import TokenizerMismatchError, UsageError

FAST, REFERENCE = "gigatoken", "tokenizers"

LARGEST_VOCABULARY = 2**22
"""Token ids must be below this: counters have a cell for every id, holes included."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TokenizerFile:
    """A tokenizer.json as it is used: its text with what would change counts off, and what identifies it.

    Attributes:
        name: what the spec calls it.
        sha256: of the file's bytes.
        path: a copy of it with those settings off, which both paths load; workers are sent the path, not the megabytes.
        switched_off: settings that were removed, such as ``truncation (max_length 128)``.
        vocabulary: one more than the largest token id.
        engine: ``reference`` or ``fast`` where the path is set or has been decided, ``auto`` where probes decide.
        reason: why the reference path is decided.
        earlier: the version of the fast tokenizer that a run saw disagree on this tokenizer, if that is not the one
            that is installed now; "" if there is none.
    """

    name: str
    sha256: str
    path: Path
    switched_off: tuple[str, ...]
    vocabulary: int
    engine: Literal["auto", "fast", "reference"] = "auto"
    reason: str = ""
    earlier: str = ""


def load_tokenizer(
    name: str, base: Path, folder: Path, engine: Literal["auto", "fast", "reference"] = "auto"
) -> TokenizerFile:
    """Find and read a tokenizer.json: a file, a folder that holds one, or a hub name.

    What is used is written into ``folder``, under its digest; what an earlier run remembered of it is read there.

    Raises:
        UsageError: when it cannot be found or is not a tokenizer; or when ``engine`` is ``fast`` and an earlier run
            saw the fast tokenizer disagree with the reference.
    """
    path = find_tokenizer(name, base)
    data = path.read_bytes()
    content, switched_off = switch_off(read_content(path, data))
    text = json.dumps(content, ensure_ascii=False)
    problem = f"{path} is not a tokenizer.json that tokenizers can load"
    ids = attempt(
        lambda: reference_of(text).get_vocab(with_added_tokens=True).values(),
        lambda error: UsageError(f"{problem}: {error}"),
    )
    if not ids:
        raise UsageError(f"{problem}: its vocabulary is empty")
    vocabulary = max(ids) + 1
    if vocabulary > LARGEST_VOCABULARY:
        raise UsageError(f"{path} has token ids up to {vocabulary - 1:,}; they must be below {LARGEST_VOCABULARY:,}")
    used = text.encode()
    copy = folder / f"{hashlib.sha256(used).hexdigest()}.json"
    if not copy.exists():
        atomic_write(copy, used)
    file = TokenizerFile(name, hashlib.sha256(data).hexdigest(), copy, switched_off, vocabulary, engine)
    return _with_memory(file, read_denial(folder, file.sha256))


def _with_memory(file: TokenizerFile, denial: Denial | None) -> TokenizerFile:
    if denial is None or file.engine == "reference":
        return file
    if (denial.fast, denial.reference) != (versioned(FAST), versioned(REFERENCE)):
        return replace(file, earlier=denial.fast)
    reason = f"an earlier run saw another id: {denial.evidence}"
    if file.engine == "fast":
        raise UsageError(f"tokenizer.engine is fast, but {reason}; use engine: auto or reference")
    return replace(file, engine="reference", reason=reason)


def remember_mismatch(file: TokenizerFile, folder: Path, error: TokenizerMismatchError) -> TokenizerFile:
    """The tokenizer with the reference path decided, after a run's own check failed; the store remembers it."""
    evidence = str(error)
    write_denial(folder, Denial(file.sha256, versioned(FAST), versioned(REFERENCE), evidence))
    return replace(file, engine="reference", reason=f"counted again after a check failed: {evidence}")


def versioned(package: str) -> str:
    """The package and its installed version."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package}, absent"


def reference_of(text: str) -> Any:
    """The `tokenizers.Tokenizer` of a file's text."""
    from tokenizers import Tokenizer

    return Tokenizer.from_str(text)


def attempt(call: Callable[[], Result], explained: Callable[[str], Exception]) -> Result:
    """Call a tokenizer; whatever it raises becomes an error that explains it.

    Both tokenizers raise bare exceptions, and panics, which Python does not count among its exceptions: a panic on a
    thread of an engine would end the thread and nothing else.
    """
    try:
        return call()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        raise explained((str(error) or type(error).__name__).strip().splitlines()[0]) from None
