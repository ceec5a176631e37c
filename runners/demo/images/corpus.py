"""Writes the demo's corpus of images: two snapshots in tar archives, a benchmark, a tokenizer, audits and a policy."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from corpus_audit.runners.demo.images import pictures
from corpus_audit.runners.demo.images.pictures import Picture
from corpus_audit.runners.demo.images.sprites import Sprites, find_sprites
from corpus_audit.schemas.errors import UsageError

_TEMPLATES = ("before.yaml", "audit.yaml", "index.yaml", "policy.yaml")
_WRITTEN = ("data", "exam", "tokenizer.json", *_TEMPLATES)
_MARKER = "demo-images.json"
_VERSION = 1
_SHARDS = 2
"""Archives of each folder of shards."""

_VOCABULARY = 512


@dataclass(frozen=True)
class ImageCorpus:
    """Two snapshots of images that are ready to be audited.

    Attributes:
        folder: holds ``data/``, ``exam/``, the tokenizer and the audit files.
        before, audit, index: paths of the audits of the first and the second snapshot, and of the index.
        sprites: what the pictures show.
        now: decodable pictures of the second snapshot.
        left: pictures of the domain that the first snapshot alone has.
    """

    folder: Path
    before: Path
    audit: Path
    index: Path
    sprites: Sprites
    now: list[Picture]
    left: list[Picture]

    @property
    def marked(self) -> list[Picture]:
        """The pictures with the mark."""
        return [p for p in self.now if p.domain == pictures.STUDIO and p.kind == self.sprites.kinds[0]]


def build_image_demo(folder: Path, progress: Callable[[str], None]) -> ImageCorpus:
    """Draw the pictures and write both snapshots; the same files every time, on a machine with the same packages.

    Args:
        folder: where; made if it is not there. Other files in it (run directories) are left alone.
        progress: called with what is being done, in a few words.

    Raises:
        UsageError: the folder holds files of these names that are not from an earlier demo.
    """
    existing = [name for name in _WRITTEN if (folder / name).exists()]
    marker = folder / _MARKER
    if existing and not marker.exists():
        raise UsageError(f"{folder} holds {', '.join(existing)} already, and not from a demo: choose another folder")
    sprites = find_sprites()
    progress(f"drawing pictures of {', '.join(sprites.kinds)} from {sprites.source}")
    domains = {domain: pictures.draw_domain(domain, sprites) for domain in pictures.COUNTS}
    both = [picture for domain in pictures.SHARED for picture in domains[domain]]
    copies = pictures.draw_copies(domains[pictures.SHARED[0]])
    damaged = pictures.draw_damaged(both[0])
    left, came = domains[pictures.LEFT], domains[pictures.STUDIO]
    folder.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
    try:
        progress(f"writing two snapshots, of {len(both) + len(left):,} and {len(both) + len(came + copies):,} images")
        for name, members in (("both", both), ("before", left), ("now", [*came, *copies, *damaged])):
            _write_shards(stage / "data" / name, members)
        _write_exam(stage / "exam", came, sprites)
        _train_tokenizer([each.caption for each in (*both, *left, *came)], stage / "tokenizer.json")
        for name in _TEMPLATES:
            text = resources.files("corpus_audit.runners.demo.images").joinpath(name).read_bytes()
            (stage / name).write_bytes(text)
        marker.write_text(json.dumps({"version": _VERSION, "pictures": sprites.source}), encoding="utf-8")
        for name in _WRITTEN:
            _remove(folder / name)
            (stage / name).rename(folder / name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    before, audit, index = (folder / name for name in _TEMPLATES[:3])
    return ImageCorpus(folder, before, audit, index, sprites, now=[*both, *came, *copies], left=left)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_shards(folder: Path, members: Sequence[Picture]) -> None:
    """Archives in the manner of WebDataset: an image and its json under one key; no times, so the same bytes."""
    folder.mkdir(parents=True)
    for number in range(_SHARDS):
        with tarfile.open(folder / f"{number:02d}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            for picture in members[number::_SHARDS]:
                fields = {"caption": picture.caption, "domain": picture.domain, "class": picture.kind}
                for ending, data in ((picture.ending, picture.data), ("json", json.dumps(fields).encode())):
                    info = tarfile.TarInfo(f"{picture.name}.{ending}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))


def _write_exam(folder: Path, came: Sequence[Picture], sprites: Sprites) -> None:
    """The benchmark: pictures of the second snapshot, every other one at half the size, and pictures it lacks."""
    folder.mkdir()
    plain = [picture for picture in came if picture.kind != sprites.kinds[0]]
    step = len(plain) // pictures.EXAM_COPIED
    for number, picture in enumerate(plain[::step][: pictures.EXAM_COPIED]):
        if number % 2:
            (folder / f"copied-{number:02d}.jpg").write_bytes(pictures.halved(picture.data))
        else:
            (folder / f"copied-{number:02d}.{picture.ending}").write_bytes(picture.data)
    for number in range(pictures.EXAM_NEW):
        kind = sprites.kinds[1 + number % 2]
        pixels, _ = pictures.scene(f"exam-{number}", pictures.STUDIO, kind, sprites, marked=False)
        (folder / f"new-{number:02d}.png").write_bytes(pictures.encoded(pixels, "png"))


def _train_tokenizer(captions: Sequence[str], path: Path) -> None:
    """A small byte-level BPE of the captions."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.save(str(path))
