"""The comparison with cleanvision: what it plants, and our side of it; the peer itself runs in the benchmark alone."""

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from tests.benchmarks.image_peers import COMPRESSED, COPIES, HALVED, ours, plant  # noqa: E402


def test_planted_copies_are_found_as_what_they_are(tmp_path):
    sources, folder = [], tmp_path / "planted"
    folder.mkdir()
    for number in range(COPIES + COMPRESSED + HALVED):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 6, 4), np.uint8)
        coarse[..., 3] |= 128
        picture = Image.fromarray(coarse).resize((72, 72), Image.Resampling.BICUBIC)
        if number % 10 == 9:
            picture = picture.convert("LA")
        sources.append(tmp_path / f"{number}.png")
        picture.save(sources[-1])
    planted = plant(sources, folder)
    assert len(planted) == COMPRESSED + HALVED
    assert len(list(folder.iterdir())) == len(sources) + COPIES + 2 * (COMPRESSED + HALVED)
    answers, with_alpha = ours(folder)
    copies = {frozenset((f"{number:04}.png", f"copy-{number:04}.png")) for number in range(COPIES)}
    assert answers.exact == copies and planted <= answers.near
    assert not answers.near & {tuple(sorted(each)) for each in answers.exact}
    assert with_alpha == {f"{n:04}.png" for n in range(9, 60, 10)} | {f"copy-{n:04}.png" for n in (9, 19)}
    assert answers.grey == {
        name
        for n in (29, 39, 49, 59)
        for name in (f"white-{n:04}.png", f"jpeg-{n:04}.jpg" if n < COPIES + COMPRESSED else f"half-{n:04}.png")
    }
