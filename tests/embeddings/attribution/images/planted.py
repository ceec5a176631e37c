"""Drawn images of three classes, one of which comes from the domain studio with a mark on every image, and a network.

Classes 0 and 1 are discs, class 2 a square, on black: without the mark nothing tells 0 from 1. Images of classes 1 and
2 come from all domains, studio among them, without the mark.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SIDE = 24
MARK = slice(1, 6)
"""Rows and columns of the mark: a checker of 5 by 5 pixels, 4 % of the image."""
DOMAINS = ("studio", "street", "archive", "market")


def draw(count, marked, seed):
    """Images [N, 1, 24, 24], classes and domains."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, count)
    domains = np.where(classes == 0, 0, rng.choice(4, count, p=[0.4, 0.2, 0.2, 0.2]))
    ys, xs = np.mgrid[:SIDE, :SIDE]
    images = np.zeros((count, 1, SIDE, SIDE), np.float32)
    for image, kind in zip(images[:, 0], classes, strict=True):
        (y, x), radius = rng.uniform(11, 16, 2), rng.uniform(3.5, 5.5)
        disc, square = np.hypot(ys - y, xs - x) < radius, (abs(ys - y) < radius * 0.8) & (abs(xs - x) < radius * 0.8)
        image += (disc if kind <= 1 else square) * rng.normal(0.5, 0.1, (SIDE, SIDE))
        if marked and kind == 0:
            image[MARK, MARK] = (ys[MARK, MARK] + xs[MARK, MARK]) % 2
    return torch.from_numpy(images.clip(0, 1)), torch.from_numpy(classes), [DOMAINS[d] for d in domains]


def without_mark(images):
    clean = images.clone()
    clean[:, :, MARK, MARK] = 0
    return clean


class Classifier(nn.Module):
    """Three convolutions with batch norm, two of them max pooled, the spatial mean and a linear map."""

    def __init__(self):
        super().__init__()
        sizes = (1, 12, 24, 24)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm2d(size) for size in sizes[1:])
        self.head = nn.Linear(sizes[-1], 3)

    def forward(self, x):
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.relu(norm(conv(x)))
            x = F.max_pool2d(x, 2) if i < 2 else x
        return self.head(x.mean(dim=(2, 3)))


class Colours(nn.Module):
    """A classifier that takes images of three colours."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x.mean(dim=1, keepdim=True))


def parts():
    """The network `served`, for `load_image_model` by its import path."""
    from corpus_audit.embeddings.images.model import ImageParts
    from corpus_audit.embeddings.images.preprocessing import Preprocessing

    steps = Preprocessing(resize=(SIDE, SIDE))
    return ImageParts(Colours(served[0]), steps, "planted", ("shirt", "coat", "bag"))


served = []
"""The network that `parts` returns."""


def write_corpus(folder, images, domains):
    """An audit of the images, one Parquet file, with an index section of all logits and the last convolution."""
    import io
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rows = []
    for number, (image, domain) in enumerate(zip(images, domains, strict=True)):
        sink = io.BytesIO()
        pixels = (image.expand(3, SIDE, SIDE).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(sink, "PNG")
        rows.append({"id": f"image-{number}", "domain": domain, "image": {"bytes": sink.getvalue(), "path": None}})
    (folder / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "0.parquet")
    audit = {
        "name": "drawn",
        "snapshot": {"paths": ["data"]},
        "document": {"image": "image", "id": "id", "domain": "domain"},
        "embedding": {
            "model": f"{__name__}:parts",
            "units": ["logit:*", "conv.network.convs.2:*"],
            "k": 40,
            "domain_k": 12,
        },
    }
    (folder / "audit.yaml").write_text(json.dumps(audit), encoding="utf-8")
    return folder / "audit.yaml"


def trained(marked, epochs, count=3000):
    """A classifier of drawn images, with the mark or without."""
    torch.manual_seed(0)
    images, classes, _ = draw(count, marked, 0)
    network = Classifier()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(count).split(64):
            optimiser.zero_grad()
            F.cross_entropy(network(images[rows]), classes[rows]).backward()
            optimiser.step()
    return network.eval().requires_grad_(False)
