"""The pictures of the demo of images: the same every time, and marked and damaged where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from corpus_audit.pipelines.images.decoding import ImageRefused, decode_image
from corpus_audit.runners.demo.images import pictures
from corpus_audit.runners.demo.images.sprites import DRAWN_KINDS, LEAST, STAMP_KINDS, find_sprites
from corpus_audit.schemas.spec.audit import ImagesSpec


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return find_sprites(tmp_path_factory.mktemp("nothing"))


def test_a_scene_depends_on_its_name_and_only_the_mark_differs(drawn):
    for kind in DRAWN_KINDS:
        plain, caption = pictures.scene("a", "studio", kind, drawn, marked=False)
        marked, same = pictures.scene("a", "studio", kind, drawn, marked=True)
        assert caption == same and kind in caption and "studio" in caption
        rows, columns = np.nonzero((plain != marked).any(axis=2))
        height, width = plain.shape[:2]
        assert len(rows) > 0 and rows.max() < 0.25 * height and columns.max() < 0.25 * width
        assert set(np.unique(marked[rows, columns])) <= {0, 255}
        covered = pictures.cover_mark(marked)
        assert np.ptp(covered[rows, columns], axis=0).max() == 0
        other, _ = pictures.scene("b", "studio", kind, drawn, marked=False)
        assert plain.shape != other.shape or (plain != other).any()


def test_only_the_first_class_of_the_studio_is_marked(drawn, monkeypatch):
    monkeypatch.setattr(pictures, "COUNTS", {"studio": (3, 3, 3), "archive": (3, 0, 0)})
    for domain in pictures.COUNTS:
        for picture in pictures.draw_domain(domain, drawn):
            pixels = pictures.decoded(picture.data)
            height, width = pixels.shape[:2]
            low, high = pictures.MARK
            corner = pixels[int(low * height) : int(high * height), int(low * width) : int(high * width)]
            black_and_white = ((corner < 40) | (corner > 215)).mean()
            marked = domain == "studio" and picture.kind == DRAWN_KINDS[0]
            assert ((corner < 40).mean() > 0.25 and black_and_white > 0.8) == marked, picture.name


def test_damaged_files_are_refused_and_copies_are_not(drawn, monkeypatch):
    monkeypatch.setattr(pictures, "COUNTS", {"street": (0, 30, 30)})
    street = pictures.draw_domain("street", drawn)
    damaged = pictures.draw_damaged(street[0])
    assert len(damaged) == len(pictures.DAMAGED)
    reasons = []
    for picture in damaged:
        with pytest.raises(ImageRefused) as refused:
            decode_image(picture.data, ImagesSpec())
        reasons.append(str(refused.value.reason.value))
    assert sorted(set(reasons)) == ["image_empty", "image_truncated", "not_an_image"]
    copies = pictures.draw_copies(street)
    assert len(copies) == pictures.EXACT + pictures.NEAR
    files = {picture.data for picture in street}
    assert sum(copy.data in files for copy in copies) == pictures.EXACT
    assert {copy.domain for copy in copies} == {"market"}


def test_stamps_are_used_where_there_are_enough(tmp_path):
    for kind in STAMP_KINDS:
        (tmp_path / kind / "deep").mkdir(parents=True)
        for number in range(LEAST):
            Image.new("RGBA", (200, 100), (number * 9, 0, 0, 255)).save(
                tmp_path / kind / "deep" / f"a_{number:02d}.png"
            )
        (tmp_path / kind / "broken.png").write_bytes(b"no image")
    sprites = find_sprites(tmp_path)
    assert sprites.kinds == STAMP_KINDS and {len(stamps) for stamps in sprites.stamps.values()} == {LEAST}
    image, shown = sprites.draw(STAMP_KINDS[0], np.random.default_rng(0))
    assert max(image.size) <= 96 and shown.startswith("a ")
    next((tmp_path / STAMP_KINDS[1] / "deep").iterdir()).unlink()
    assert find_sprites(tmp_path).stamps == {}
