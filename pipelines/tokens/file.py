"""Loads a tokenizer.json for counting: switches off settings that change counts, and applies known mismatches."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import orjson

from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.pipelines.tokens.known_mismatches import KnownMismatch, read_known_mismatch, write_known_mismatch
from corpus_audit.pipelines.tokens.settings import switch_off
from corpus_audit.pipelines.tokens.source import find_tokenizer, read_content
from corpus_audit.schemas.errors import TokenizerMismatchError, UsageError

FAST, REFERENCE = "gigatoken", "tokenizers"

LARGEST_VOCABULARY = 2**22
"""Bound on token ids: counters have a cell for every id below the largest, unused ones included."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TokenizerFile:
    """A tokenizer.json as it is used for counting, and what identifies it.

    Attributes:
        name: its name in the spec.
        sha256: SHA-256 of the original file, in hex.
        path: a copy without the settings in ``switched_off``, which both tokenizers load; workers get this path instead
            of the content, which has megabytes.
        switched_off: settings that were removed, such as ``truncation (max_length 128)``.
        vocabulary: one more than the largest token id.
        engine: ``reference`` or ``fast`` once the tokenizer to count with is set or decided, ``auto`` if probes decide.
        reason: why the reference counts.
        mismatched_version: name and version of a fast tokenizer that is known to give other ids, if another version is
            installed now; else "".
    """

    name: str
    sha256: str
    path: Path
    switched_off: tuple[str, ...]
    vocabulary: int
    engine: Literal["auto", "fast", "reference"] = "auto"
    reason: str = ""
    mismatched_version: str = ""


def load_tokenizer(
    name: str, base: Path, folder: Path, engine: Literal["auto", "fast", "reference"] = "auto"
) -> TokenizerFile:
    """Find and read a tokenizer.json: a file, a folder that holds one, or a hub name.

    The copy is written to ``folder`` under its digest; known mismatches of earlier runs are read from there.

    Raises:
        UsageError: the file is missing or not a tokenizer, or ``engine`` is ``fast`` and an earlier run found that the
            fast tokenizer disagrees with the reference.
    """
    path = find_tokenizer(name, base)
    data = path.read_bytes()
    content, switched_off = switch_off(read_content(path, data))
    used = orjson.dumps(content)
    text = used.decode()
    problem = f"{path} is not a tokenizer.json that tokenizers can load"
    ids = call_tokenizer(
        lambda: reference_of(text).get_vocab(with_added_tokens=True).values(),
        lambda error: UsageError(f"{problem}: {error}"),
    )
    if not ids:
        raise UsageError(f"{problem}: its vocabulary is empty")
    vocabulary = max(ids) + 1
    if vocabulary > LARGEST_VOCABULARY:
        raise UsageError(f"{path} has token ids up to {vocabulary - 1:,}; they must be below {LARGEST_VOCABULARY:,}")
    copy = folder / f"{hashlib.sha256(used).hexdigest()}.json"
    if not copy.exists():
        atomic_write(copy, used)
    file = TokenizerFile(name, hashlib.sha256(data).hexdigest(), copy, switched_off, vocabulary, engine)
    return _apply_known_mismatch(file, read_known_mismatch(folder, file.sha256))


def _apply_known_mismatch(file: TokenizerFile, known: KnownMismatch | None) -> TokenizerFile:
    if known is None or file.engine == "reference":
        return file
    if (known.fast, known.reference) != (name_and_version(FAST), name_and_version(REFERENCE)):
        return replace(file, mismatched_version=known.fast)
    reason = f"the fast tokenizer gave other ids in an earlier run: {known.evidence}"
    if file.engine == "fast":
        raise UsageError(f"tokenizer.engine is fast, but {reason}; use engine: auto or reference")
    return replace(file, engine="reference", reason=reason)


def remember_mismatch(file: TokenizerFile, folder: Path, error: TokenizerMismatchError) -> TokenizerFile:
    """Record in the store that a run's check failed; returns the tokenizer with the reference to count with."""
    evidence = str(error)
    write_known_mismatch(
        folder, KnownMismatch(file.sha256, name_and_version(FAST), name_and_version(REFERENCE), evidence)
    )
    return replace(
        file, engine="reference", reason=f"counted again with the reference after a check failed: {evidence}"
    )


def name_and_version(package: str) -> str:
    """A package and its installed version, such as ``gigatoken 0.10.0``."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package}, not installed"


@lru_cache(maxsize=1)
def reference_of(text: str) -> Any:
    """A `tokenizers.Tokenizer` from the text of a tokenizer.json, the same one when it is read and when it encodes."""
    from tokenizers import Tokenizer

    return Tokenizer.from_str(text)


def call_tokenizer(call: Callable[[], Result], make_error: Callable[[str], Exception]) -> Result:
    """Call a tokenizer, and turn whatever it raises into the error that ``make_error`` makes of the first line.

    Both tokenizers raise bare `Exception`s, and Rust panics, which derive from `BaseException`: uncaught, a panic would
    end the engine's thread and the run would wait for it.
    """
    try:
        return call()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        raise make_error((str(error) or type(error).__name__).strip().splitlines()[0]) from None
