"""The scan of all convolutions of an image model over its bare forward pass, in turn; exits 1 over 1.15 times.

EfficientNet-Lite0 with random weights if its package is installed, and a residual network of torch modules. Processor
time on one thread. *Whole* is the scan of ``--images`` images of noise, every batch of it in turn with the bare forward
pass of the same batch, from empty lists on. *Late* is a batch of a large corpus, whose lists nothing enters; *first* is
the first batch, each image of which enters every list, so that all positions are looked up. Decoding and resizing a
photograph stands apart: it is neither in the scan nor in the forward pass.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image

from corpus_audit.embeddings.images.map_scan import ImageInput, MapScanner
from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.models.selection import Selection
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, ListSizes
from corpus_audit.pipelines.images.decoding import ImageLimits, decode_image
from corpus_audit.pipelines.kernels.activations.windows import splitmix64
from corpus_audit.schemas.units import parse_pattern, select
from tests.embeddings.images.image_models import SmallResNet, image_model, lite0

LIMIT = 1.15
BATCH = 16


def models() -> Iterator[tuple[str, ImageModel]]:
    """The models, by name."""
    try:
        yield "EfficientNet-Lite0, 224 x 224", lite0(trained=False)
    except BaseException as error:  # pytest's skip is no Exception
        print(f"EfficientNet-Lite0 is left out: {error}")
    yield "residual network of 64 channels, 128 x 128", image_model(SmallResNet(64), (128, 128))


def seconds(run: Callable[[], object]) -> float:
    """Processor time of a call."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def scan(model: ImageModel, selection: Selection, inputs: torch.Tensor, late: bool) -> Callable[[], None]:
    """A scan of a batch into lists that are empty, or that nothing enters."""
    rng = np.random.default_rng(0)
    state = ActivationAccumulator(selection.rows, ListSizes(20, 5, 5, 1), selection.floors(), ["a", "b"])
    if late:
        for lists in (state.top, state.minima, *state.by_domain):
            lists.value[:], lists.window[:] = 1e30, 0
        # The window whose hash is 0 comes first among a unit's samples: splitmix64 of 0 is 0.
        first = np.array([splitmix64(np.uint64(row + 1)) for row in range(selection.rows)], np.uint64)
        state.samples.window[:] = first[:, None, None]
        state.samples.value[:] = 0

    def run() -> None:
        scanner = MapScanner(model, selection, state, BATCH)
        for number, each in enumerate(inputs):
            name = int(rng.integers(1, 2**60))
            scanner.add(ImageInput(each, name, name, number % 2, number % 16))
        scanner.finish()

    return run


def whole(model: ImageModel, selection: Selection, images: int) -> list[tuple[int, float]]:
    """Images scanned so far and the scan's time over that of the bare passes, at each doubling up to ``images``."""
    rng, generator = np.random.default_rng(2), torch.Generator().manual_seed(2)
    state = ActivationAccumulator(selection.rows, ListSizes(20, 5, 5, 1), selection.floors(), ["a", "b"])
    scanner = MapScanner(model, selection, state, BATCH)
    scanned = bare = 0.0
    ratios: list[tuple[int, float]] = []
    for batch in range(1, images // BATCH + 1):
        inputs = torch.randn(BATCH, 3, *model.input_size, generator=generator)
        inputs = inputs * torch.rand(BATCH, 1, 1, 1, generator=generator)  # images differ in their contrast
        names = rng.integers(1, 2**60, BATCH).tolist()

        def add(inputs: torch.Tensor = inputs, names: list[int] = names) -> None:
            for number, (each, name) in enumerate(zip(inputs, names, strict=True)):
                scanner.add(ImageInput(each, name, name, number % 2, number % 16))

        def run(inputs: torch.Tensor = inputs) -> None:
            with torch.inference_mode():
                model.run(inputs)

        for first in (batch % 2, 1 - batch % 2):  # neither always comes first
            if first:
                scanned += seconds(add)
            else:
                bare += seconds(run)
        if batch & (batch - 1) == 0 or batch == images // BATCH:
            ratios.append((batch * BATCH, scanned / bare))
    return ratios


def decode_seconds(model: ImageModel) -> float:
    """Processor time of decoding and preparing a JPEG of 640 x 427 pixels."""
    coarse = np.random.default_rng(0).integers(0, 256, (27, 40, 3)).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(coarse).resize((640, 427), Image.Resampling.BICUBIC).save(sink, "JPEG", quality=90)
    limits = ImageLimits(10**8, 10**8, 10)
    return statistics.median(
        seconds(lambda: model.preprocess(decode_image(sink.getvalue(), limits).pixels)) for _ in range(20)
    )


def main() -> int:
    """Print the ratios; 1 if that of a whole scan is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="Batches of each kind, in turn.")
    parser.add_argument("--images", type=int, default=1024, help="Images of the whole scan.")
    options = parser.parse_args()
    pairs = options.pairs
    torch.set_num_threads(1)
    worst = 0.0
    for name, model in models():
        patterns = [parse_pattern("conv.*:*")]
        selection = Selection(select(patterns, model.units.widths()))
        inputs = torch.randn(BATCH, 3, *model.input_size, generator=torch.Generator().manual_seed(1))

        def bare(model: ImageModel = model, inputs: torch.Tensor = inputs) -> None:
            with torch.inference_mode():
                model.run(inputs)

        late = scan(model, selection, inputs, late=True)
        for warm in (bare, late, scan(model, selection, inputs, late=False)):
            warm()
        times = [
            (seconds(bare), seconds(late), seconds(scan(model, selection, inputs, late=False))) for _ in range(pairs)
        ]
        ratios = [statistics.median(row[i] / row[0] for row in times) for i in (1, 2)]
        forward = statistics.median(row[0] for row in times) / BATCH
        scans = whole(model, selection, options.images)
        worst = max(worst, scans[-1][1])
        print(f"{name}: {selection.rows:,} units of {len(selection.indices)} convolutions")
        print(f"  scan over the bare forward pass: late {ratios[0]:.2f}, first images {ratios[1]:.2f}")
        by_images = ", ".join(f"{ratio:.3f} of {count:,}" for count, ratio in scans)
        print(f"  whole scans (limit {LIMIT}): {by_images} images")
        print(f"  decoding and resizing 640 x 427: {decode_seconds(model) / forward:.0%} of a forward pass")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
