"""What init proposes for images: in archives, folders and columns; and that texts stay texts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.init.proposal import propose_audit
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.audit import AuditSpec, PathSource
from corpus_audit.schemas.spec.audit_file import load_audit
from corpus_audit.schemas.spec.policy_file import load_policy
from tests.pipelines.reading.image_shards import png, tar


def propose(tmp_path: Path, tokenizer: bool = True) -> AuditSpec:
    if tokenizer:
        (tmp_path / "tokenizer.json").write_text("{}")
    target = tmp_path / "audit.yaml"
    proposal = propose_audit([str(tmp_path / "data")], target)
    target.write_text(proposal.text, encoding="utf-8")
    assert proposal.complete
    return load_audit(target).spec


def test_folders_of_images_need_no_tokenizer(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for i in range(3):
            (folder / f"{i}.png").write_bytes(png(i))
    spec = propose(tmp_path, tokenizer=False)
    assert (spec.document.image, spec.document.text, spec.document.id) == ("image", None, "file_name")
    assert spec.document.domain == PathSource(path="{domain}/*")
    assert spec.tokenizer is None


def test_what_is_commented_out_is_valid_too(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(png(1))
    target = tmp_path / "audit.yaml"
    text = propose_audit([str(tmp_path / "data")], target).text
    target.write_text(re.sub(r"^#(?=\w+:|  [\w-])", "", text, flags=re.MULTILINE), encoding="utf-8")
    spec = load_audit(target).spec
    assert spec.images is not None and spec.mixture is not None and spec.mixture.unit == "documents"
    assert spec.baselines and spec.filter


def test_archives_with_captions(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    members = []
    for i in range(12):
        members.append((f"{i:02}.png", png(i)))
        members.append((f"{i:02}.txt", f"a caption of some words, number {i}".encode()))
        members.append((f"{i:02}.json", json.dumps({"meta": {"source": "ab"[i % 2]}, "width": 8}).encode()))
    (tmp_path / "data" / "0.tar").write_bytes(tar(members))
    spec = propose(tmp_path)
    assert (spec.document.image, spec.document.text, spec.document.id) == ("image", "txt", "__key__")
    assert spec.document.domain == "meta.source"
    assert spec.tokenizer == "tokenizer.json"


def test_captions_without_a_tokenizer_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    members = [(f"{i}.{end}", data) for i in range(3) for end, data in (("png", png(i)), ("txt", b"some words"))]
    (tmp_path / "data" / "0.tar").write_bytes(tar(members))
    target = tmp_path / "audit.yaml"
    proposal = propose_audit([str(tmp_path / "data")], target)
    assert not proposal.complete and "Or remove 'text' above" in proposal.text
    target.write_text(re.sub(r"^  text:.*$", "", proposal.text, flags=re.MULTILINE), encoding="utf-8")
    assert load_audit(target).spec.tokenizer is None


@pytest.mark.parametrize("data", [tar([("a.txt", b"words")]), b"no archive"])
def test_an_archive_without_images_is_no_corpus_of_images(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.tar").write_bytes(data)
    with pytest.raises(UsageError, match=r"no shard in .*\.tar"):
        propose_audit([str(tmp_path / "data")], tmp_path / "audit.yaml")


@pytest.mark.parametrize("kind", ["struct", "bytes"])
def test_a_column_of_images(tmp_path: Path, kind: str) -> None:
    (tmp_path / "data").mkdir()
    images = [png(i) for i in range(12)]
    values = [{"bytes": image, "path": f"{i}.png"} for i, image in enumerate(images)] if kind == "struct" else images
    table = pa.table({"img": values, "caption": [f"words of caption {i}" for i in range(12)], "label": [1] * 12})
    pq.write_table(table, tmp_path / "data" / "a.parquet")
    spec = propose(tmp_path)
    assert (spec.document.image, spec.document.text) == ("img", "caption")


def test_texts_with_pictures_beside_them_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    text = [f"a sentence of some words, long enough to be told from a label, number {i}" for i in range(30)]
    (tmp_path / "data" / "a.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in text))
    (tmp_path / "data" / "logo.png").write_bytes(png(1))
    spec = propose(tmp_path)
    assert (spec.document.image, spec.document.text) == (None, "text")


def test_a_column_of_bytes_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table = pa.table(
        {"text": [f"a sentence of some words, number {i}, and more" for i in range(9)], "raw": [b"\1\2"] * 9}
    )
    pq.write_table(table, tmp_path / "data" / "a.parquet")
    assert propose(tmp_path).document.image is None


def test_captions_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.tar").write_bytes(tar([("1.png", png(1)), ("1.json", b'{"words": "a b"}')]))
    target = tmp_path / "audit.yaml"
    assert "\n  text: words\n" in propose_audit([str(tmp_path / "data")], target, text="words").text
    with pytest.raises(UsageError, match="no sampled row has the column 'word'"):
        propose_audit([str(tmp_path / "data")], target, text="word")


@pytest.mark.parametrize("given", [(), ("--policy", "scheduled-audit")])
def test_the_command_writes_the_policy_of_images(tmp_path: Path, given: tuple[str, ...]) -> None:
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(png(1))
    assert run_command(["init", str(tmp_path / "data"), "-o", str(tmp_path / "audit.yaml"), *given], Session()) == 0
    loaded = load_policy(tmp_path / "policy.yaml").policy
    assert loaded.name == ("scheduled audit" if given else "image audit")
