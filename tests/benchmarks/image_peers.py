"""Copies, near pairs and grey pictures of a folder of images: ours and cleanvision's, on the same files.

    python -m tests.benchmarks.image_peers [--images FOLDER] [--python PYTHON] [--json FILE]

``--images`` are PNG files of clip art (those of Debian's tuxpaint-stamps-default). All of them are copied to a
temporary folder, where copies of some are planted: 20 files byte for byte; and of 40 more, the picture laid on white
and a near copy of that, 20 as JPEG of quality 30 and 20 at half the size. Clip art in grey stays grey on white.

``--python`` is a Python that has cleanvision; without it, an environment under ``.bench`` is made, which needs a
package index. Where neither is to be had, or no clip art, this says so and measures nothing.

Printed of both, and written as JSON with the names of the files:

* sets of exact copies: ours are equal in shape, mode and pixels, cleanvision's in the MD5 of pixels;
* near pairs: ours within 8 of 64 bits of the perceptual hash and verified by colour, those of cleanvision all pairs in
  its sets of equal hashes, exact copies left out in both; and how many of the planted pairs are among them;
* grey pictures: ours of Pillow's modes 1, L and I;16, and LA apart, cleanvision's by its check ``grayscale``.

cleanvision drops transparency, and clip art whose hidden pixels are of one grey is then equal to it: nearly all of its
near pairs are such. We lay pictures on white, and leave those of one grey out. Last comes how cleanvision ends if all
its checks run, which is what it does unless told otherwise.

Exits 1 if exact sets or grey pictures differ, or if ours finds fewer planted near pairs.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from corpus_audit.pipelines.images.decoding import ImageLimits
from corpus_audit.pipelines.images.near_duplicates import verified_pairs
from corpus_audit.pipelines.images.properties import MODES, image_properties
from tests.benchmarks.measuring import peer_environment

REQUIREMENTS = ("cleanvision==0.3.7",)
STAMPS = Path("/usr/share/tuxpaint/stamps")
COPIES, COMPRESSED, HALVED = 20, 20, 20
LIMITS = ImageLimits(max_bytes=1 << 26, max_pixels=10**8, max_frames=100)

Pair = tuple[str, str]

PEER = """
import json, sys, warnings
warnings.filterwarnings("ignore")
from pathlib import Path
import cleanvision
from cleanvision import Imagelab
named = {"exact_duplicates": {}, "near_duplicates": {}, "grayscale": {}}
lab = Imagelab(data_path=sys.argv[1], verbose=False)
if sys.argv[2] == "all":
    lab.find_issues(n_jobs=1, verbose=False)
    sys.exit()
lab.find_issues(named, n_jobs=1, verbose=False)
sets = {kind: [[Path(name).name for name in one] for one in lab.info[kind]["sets"]] for kind in list(named)[:2]}
grey = lab.issues.index[lab.issues["is_grayscale_issue"]]
results = {**sets, "grey": [Path(name).name for name in grey], "version": cleanvision.__version__}
Path(sys.argv[3]).write_text(json.dumps(results))
"""


@dataclass(frozen=True)
class Answers:
    """What a program says of the images.

    Attributes:
        exact: sets of names of equal pictures.
        near: pairs of names of near pictures, in order, that are not in one exact set.
        grey: names of grey pictures.
    """

    exact: frozenset[frozenset[str]]
    near: frozenset[Pair]
    grey: frozenset[str]


def pairs(names: Iterable[str]) -> set[Pair]:
    """All pairs of names, each in order."""
    return set(combinations(sorted(names), 2))


def plant(sources: Sequence[Path], folder: Path) -> set[Pair]:
    """Copy files, named by their number, and plant copies of some; returns the near pairs that were planted."""
    from PIL import Image

    planted = set()
    for number, source in enumerate(sources):
        (folder / f"{number:04}.png").write_bytes(source.read_bytes())
    step = len(sources) // (COPIES + COMPRESSED + HALVED)
    for number in range(COPIES + COMPRESSED + HALVED):
        name = f"{number * step:04}"
        data = sources[number * step].read_bytes()
        if number < COPIES:
            (folder / f"copy-{name}.png").write_bytes(data)
            continue
        picture = Image.open(io.BytesIO(data))
        laid = Image.new("RGBA", picture.size, "white")
        laid.alpha_composite(picture.convert("RGBA"))
        laid = laid.convert("L" if picture.mode in ("L", "LA") else "RGB")
        laid.save(folder / f"white-{name}.png")
        if number < COPIES + COMPRESSED:
            near = f"jpeg-{name}.jpg"
            laid.save(folder / near, quality=30)
        else:
            near = f"half-{name}.png"
            size = max(1, laid.width // 2), max(1, laid.height // 2)
            laid.resize(size, Image.Resampling.LANCZOS).save(folder / near)
        planted |= pairs([f"white-{name}.png", near])
    return planted


def ours(folder: Path) -> tuple[Answers, frozenset[str]]:
    """Our answers; and the names of pictures in grey with transparency, which are of a kind of their own."""
    files = sorted(folder.iterdir())
    rows, refused = image_properties([file.read_bytes() for file in files], LIMITS, thumbnails=False)
    if any(refused):
        raise RuntimeError(f"an image was refused: {next(filter(None, refused))}")
    names = [file.name for file in files]
    by_pixels: dict[tuple[int, int], set[str]] = defaultdict(set)
    for name, high, low in zip(names, rows.pixel_high.tolist(), rows.pixel_low.tolist(), strict=True):
        by_pixels[high, low].add(name)
    exact = frozenset(frozenset(each) for each in by_pixels.values() if len(each) > 1)
    compared = np.flatnonzero(~rows.flat)
    close = verified_pairs(rows.phash[compared], rows.patches[compared])
    near = {
        (min(pair), max(pair))
        for pair in ((names[compared[a]], names[compared[b]]) for a, b in zip(close.first, close.second, strict=True))
    }
    modes = [MODES[mode] for mode in rows.mode.tolist()]
    grey = frozenset(name for name, mode in zip(names, modes, strict=True) if mode in ("1", "L", "I;16"))
    with_alpha = frozenset(name for name, mode in zip(names, modes, strict=True) if mode == "LA")
    return Answers(exact, frozenset(near - _within(exact)), grey), with_alpha


def theirs(python: str, folder: Path) -> tuple[Answers, str]:
    """Answers of cleanvision, and its version."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "answers.json"
        done = subprocess.run([python, "-c", PEER, folder, "named", output], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"cleanvision ended with an error: {last_line(done.stderr)}")
        results = json.loads(output.read_text())
    exact = frozenset(frozenset(each) for each in results["exact_duplicates"])
    near = {pair for each in results["near_duplicates"] for pair in pairs(each)}
    return Answers(exact, frozenset(near - _within(exact)), frozenset(results["grey"])), results["version"]


def with_all_checks(python: str, folder: Path) -> str:
    """How cleanvision ends with all its checks."""
    done = subprocess.run([python, "-c", PEER, folder, "all"], capture_output=True, text=True)
    return f"ends with an error: {last_line(done.stderr)}" if done.returncode else "ends well"


def last_line(text: str) -> str:
    """The last line of a text; empty if it has none."""
    return (text.strip().splitlines() or [""])[-1]


def _within(sets: Iterable[frozenset[str]]) -> set[Pair]:
    return {pair for each in sets for pair in pairs(each)}


def _plain(answers: Answers) -> dict[str, object]:
    return {
        "exact": sorted(sorted(each) for each in answers.exact),
        "near": sorted(answers.near),
        "grey": sorted(answers.grey),
    }


def main() -> int:
    """Compare, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=STAMPS)
    parser.add_argument("--python", default=None)
    parser.add_argument("--cache", type=Path, default=Path(".bench"))
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    sources = sorted(options.images.rglob("*.png"))
    if len(sources) < COPIES + COMPRESSED + HALVED:
        print(
            f"skipped: {options.images} has {len(sources)} PNG files: install tuxpaint-stamps-default, or name others"
        )
        return 0
    python = options.python or peer_environment(options.cache / "image-peers-env", REQUIREMENTS)
    if python is None:
        return 0
    probe = subprocess.run([python, "-c", "import cleanvision"], capture_output=True, text=True)
    if probe.returncode:
        print(f"skipped: {python} has no cleanvision: {last_line(probe.stderr)}")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        planted = plant(sources, folder)
        images = sum(1 for _ in folder.iterdir())
        own, with_alpha = ours(folder)
        other, version = theirs(python, folder)
        ended = with_all_checks(python, folder)
    print(f"{images:,} pictures, {len(planted)} of them near copies that were planted, {COPIES} exact ones")
    print(f"{'':32}{'ours':>8}{'cleanvision ' + version:>20}{'both':>8}")
    rows = (
        ("sets of exact copies", own.exact, other.exact),
        ("near pairs", own.near, other.near),
        ("planted near pairs", own.near & planted, other.near & planted),
        ("grey pictures", own.grey, other.grey),
    )
    for name, mine, peer in rows:
        print(f"{name:32}{len(mine):8,}{len(peer):20,}{len(mine & peer):8,}")
    print(f"{'grey with transparency':32}{len(with_alpha):8,}{len(other.grey & with_alpha):20,}")
    print(f"cleanvision with all its checks {ended}")
    if options.json is not None:
        results = {"images": images, "planted_near": sorted(planted), "cleanvision": version, "all_checks": ended}
        answers = {"ours": _plain(own) | {"grey_with_alpha": sorted(with_alpha)}, "theirs": _plain(other)}
        options.json.write_text(json.dumps(results | answers, indent=1) + "\n")
    agree = own.exact == other.exact and own.grey == other.grey
    return int(not agree or len(own.near & planted) < len(other.near & planted))


if __name__ == "__main__":
    raise SystemExit(main())
