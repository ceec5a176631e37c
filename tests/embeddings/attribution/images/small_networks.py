"""Small convolutional networks that compute the same in several ways, and the deconvolution of one by hand."""

import torch
from torch import nn
from torch.nn import functional as F


class Pooled(nn.Module):
    """Three convolutions with batch norm, two of them max pooled, the spatial mean and a linear map."""

    def __init__(self, activation="module", channels=(6, 8, 10), classes=4):
        super().__init__()
        sizes = (3, *channels)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(sizes, channels, strict=False))
        self.norms = nn.ModuleList(nn.BatchNorm2d(size) for size in channels)
        self.relus = nn.ModuleList(nn.ReLU() for _ in channels)
        self.relu6, self.shared, self.silu, self.gelu = nn.ReLU6(), nn.ReLU(inplace=True), nn.SiLU(), nn.GELU()
        self.head = nn.Linear(channels[-1], classes)
        self.activation = activation

    def act(self, x, i):
        match self.activation:
            case "module":
                return self.relus[i](x)
            case "functional":
                return F.relu(x)
            case "clamp":
                return x.clamp(min=0)
            case name:
                return getattr(self, name)(x)

    def features(self, x):
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = self.act(norm(conv(x)), i)
            x = F.max_pool2d(x, 2) if i < 2 else x
        return x

    def forward(self, x):
        return self.head(self.features(x).mean(dim=(2, 3)))


def pooled(activation="module", seed=0):
    """A network in evaluation mode, with statistics of its batch norms; of one seed they have the same weights."""
    torch.manual_seed(seed)
    network = Pooled(activation)
    for conv in network.convs:
        conv.weight.data *= 2
    for norm in network.norms:
        nn.init.normal_(norm.running_mean, std=0.2)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
        nn.init.uniform_(norm.weight, 0.7, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
    return network.eval().requires_grad_(False)


def image(seed=0, size=16):
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed))


def unit(network, channel, y, x):
    """The channel of the last feature maps, at a position."""
    return lambda batch: network.features(batch)[:, channel, y, x]


def deconvolved_by_hand(network, picture, channel, y, x):
    """Zeiler and Fergus' network: unpool by switches, rectify, transposed convolution with the batch norm folded in."""
    a, switches = picture[None], []
    for i, (conv, norm) in enumerate(zip(network.convs, network.norms, strict=True)):
        a = F.relu(norm(conv(a)))
        if i < 2:
            size = a.shape[-2:]
            a, where = F.max_pool2d(a, 2, return_indices=True)
            switches.append((where, size))
    signal = torch.zeros_like(a)
    signal[0, channel, y, x] = a[0, channel, y, x]
    for i in (2, 1, 0):
        if i < 2:
            where, size = switches[i]
            signal = F.max_unpool2d(signal, where, 2, output_size=size)
        norm, conv = network.norms[i], network.convs[i]
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        signal = F.conv_transpose2d(F.relu(signal), conv.weight * factor[:, None, None, None], padding=1)
    return signal[0]


def parts():
    """A network for `load_image_model`, by its import path; inputs of 16 by 16 pixels."""
    from corpus_audit.embeddings.images.model import ImageParts
    from corpus_audit.embeddings.images.preprocessing import Preprocessing

    steps = Preprocessing(resize=(16, 16), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return ImageParts(pooled("relu6"), steps, "small", ("disc", "ring", "square", "cross"))
