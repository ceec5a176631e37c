"""Finds a tokenizer.json: a file, a folder that holds one, or a repository of the Hugging Face hub."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import orjson

from corpus_audit.schemas.errors import UsageError

HUB_SECONDS = 10.0
"""Timeout of the first, small request to the hub, in seconds; it is not retried."""

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_CONVERT_HINT = "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(OUT) of transformers writes a tokenizer.json"


def find_tokenizer(name: str, base: Path) -> Path:
    """The file that a spec's ``tokenizer`` names; relative paths are relative to ``base``.

    Raises:
        UsageError: there is none; the message says which other files exist, and how to get a tokenizer.json.
    """
    path = (base / name).expanduser() if not name.startswith("~") else Path(name).expanduser()
    if path.is_dir():
        if not (path / "tokenizer.json").is_file():
            raise UsageError(f"no tokenizer at {name}: the folder has no tokenizer.json{_other_files(path)}")
        path = path / "tokenizer.json"
    return path if path.is_file() else _from_hub(name)


def read_content(path: Path, data: bytes) -> dict[str, Any]:
    """The parsed content of a tokenizer.json.

    It is parsed as strictly as `tokenizers` parses it (no NaN, no lone surrogates), except that a byte order mark in
    front is skipped; with the standard library a vocabulary of 50,000 tokens would take a tenth of a second.

    Raises:
        UsageError: the file is something else; the message says what it looks like.
    """
    other = _describe_file(path, data)
    if other:
        raise UsageError(f"{path} is not a tokenizer.json that tokenizers can load: {other}")
    try:
        content = orjson.loads(data.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path} is not a tokenizer.json that tokenizers can load: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise UsageError(f"{path} is not a tokenizer.json that tokenizers can load: {_describe_json(content)}")
    return content


def _describe_file(path: Path, data: bytes) -> str:
    start = data[:4096]
    if re.match(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n", start):
        return f"it is a tiktoken file, which has no pre-tokenizer of its own; {_CONVERT_HINT} for models of the hub"
    if path.suffix == ".model" or (start.startswith(b"\n") and b"<unk>" in start):
        return f"it is a SentencePiece model; {_CONVERT_HINT}"
    if start.startswith(b"#version") or path.name == "merges.txt":
        return f"it is the merges of a BPE without its vocabulary; {_CONVERT_HINT}"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself: run 'git lfs pull'"
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "it is an HTML page, perhaps a login page"
    if start.startswith(b"PK\x03\x04") or start.startswith(b"\x1f\x8b"):
        return "it is a compressed archive"
    return ""


def _describe_json(content: object) -> str:
    if not isinstance(content, dict):
        return f"it is a JSON {type(content).__name__}, not an object with a model"
    if "tokenizer_class" in content or "added_tokens_decoder" in content:
        return (
            f"it is a tokenizer_config.json; the tokenizer.json is usually in the same folder; if not, {_CONVERT_HINT}"
        )
    if "architectures" in content or "model_type" in content:
        return "it is a model's config.json; the tokenizer.json is usually in the same folder"
    if content and all(isinstance(value, int) for value in content.values()):
        return f"it is a vocabulary (vocab.json) without its merges; {_CONVERT_HINT}"
    return "it has no model"


def _other_files(folder: Path) -> str:
    known = ("tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt", "tokenizer_config.json")
    names = [name for name in known if (folder / name).is_file()]
    names += sorted(path.name for path in folder.glob("*.tiktoken"))
    return f" but {', '.join(names)}: {_CONVERT_HINT}" if names else ""


def _from_hub(name: str) -> Path:
    problem = f"no tokenizer at {name}: give the path of a tokenizer.json, or of a folder that holds one"
    if name.endswith((".json", ".model", ".tiktoken")) or not _HUB_NAME.fullmatch(name) or name.startswith("."):
        raise UsageError(problem)
    try:
        import huggingface_hub as hub
    except ImportError:
        raise UsageError(f"{problem}; hub names need the extra: pip install 'corpus-audit[hub]'") from None
    try:
        # One request without retries first: the download itself retries for most of a minute.
        hub.get_hf_file_metadata(hub.hf_hub_url(name, "tokenizer.json"), timeout=HUB_SECONDS)
    except Exception as error:
        try:
            return Path(hub.hf_hub_download(name, "tokenizer.json", local_files_only=True))
        except Exception:
            raise UsageError(
                f"no tokenizer at {name}: there is no such file, and the hub has no such repository or cannot be "
                f"reached ({_line(error)}); give the path of a tokenizer.json"
            ) from None
    try:
        return Path(hub.hf_hub_download(name, "tokenizer.json"))
    except Exception as error:
        raise UsageError(f"{problem}; the download from the hub failed: {_line(error)}") from None


def _line(error: Exception) -> str:
    """The first line of a message, which may have pages of advice below it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 200 else text[:199] + "\u2026"
