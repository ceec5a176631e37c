"""The scan of an image model against plain passes and a full sort, of all units: value, position and order.

``python -m tests.benchmarks.image_oracle [--model lite0|residual] [--images N] [--size PIXELS]``

Drawn images with ties and a copy of a file; every unit's strongest, lowest, and strongest by domain, in six ways of
batch, parts and workers, each part written and read again. Prints what was compared; a difference stops it with an
error. EfficientNet-Lite0 has its trained weights; images smaller than its 224 pixels keep its 22,008 units and cost
less. Run it with ``OMP_NUM_THREADS=1``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from corpus_audit.embeddings.images.model import ImageParts, assemble
from tests.embeddings.images.full_sort import (
    CONFIGURATIONS,
    Corpus,
    brute_force,
    check_lists,
    merged_scan,
    selection_of,
)
from tests.embeddings.images.image_models import SmallResNet, image_model, lite0


def main() -> None:
    """Compare, and print what was compared."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", choices=("lite0", "residual"), default="lite0")
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    size = options.size, options.size
    if options.model == "lite0":
        trained = lite0()
        steps = replace(trained.preprocessing, shortest_edge=None, resize=size, crop=None)
        model = assemble(ImageParts(trained.module, steps, trained.digest), trained.name)
    else:
        model = image_model(SmallResNet(), size)
    corpus, selection = Corpus(model, options.images), selection_of(model)
    print(f"{model.name}: {selection.rows:,} units, {options.images:,} images of {size[1]} x {size[0]}")
    for batch in sorted({each[0] for each in CONFIGURATIONS}, reverse=True):
        before = time.process_time()
        expected = brute_force(corpus, selection, batch)
        print(f"plain passes in batches of {batch}: {time.process_time() - before:.0f} CPU-s", flush=True)
        for _, parts, workers in (each for each in CONFIGURATIONS if each[0] == batch):
            before = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                merged = merged_scan(corpus, selection, batch, parts, workers, Path(folder))
            took = time.process_time() - before
            entries = check_lists(corpus, merged, *expected)
            print(
                f"batches of {batch}, {parts} parts, {workers} workers: {entries:,} entries of lists equal in value, "
                f"position and order; {took:.0f} CPU-s",
                flush=True,
            )


if __name__ == "__main__":
    main()
