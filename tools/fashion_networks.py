"""Small networks of clothes: patches of 4x4 pixels, 7x7 of them, mixed in three ways.

All take raw pixels 0..255 as floats, (n, 28, 28), and give logits (n, 10). They are made for a
small FPGA: two blocks each, some thirty thousand weights, and a last layer that reads every token.
"""

# Ref: H. Touvron et al., "ResMLP: Feedforward networks for image classification with data-efficient
# training", arXiv 2105.03404; I. Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for
# Vision", arXiv 2105.01601; Z. Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545.

import torch
from torch import nn

PATCH = 4
TOKENS = (28 // PATCH) ** 2
CLASSES = 10


class Affine(nn.Module):
    """A factor and a shift for each channel, the last axis; of one channel for all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x + self.bias


class Patches(nn.Module):
    """Pixels to tokens, (n, 49, channels): a linear layer over each patch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, PATCH, stride=PATCH)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.conv(pixels.unsqueeze(1) / 255).flatten(2).transpose(1, 2)


class Perceptron(nn.Sequential):
    """A linear layer, GELU, and a linear layer back, over the last axis."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class ResMLPBlock(nn.Module):
    """x + s·tokens(affine(x)), then x + s·channels(affine(x)), each with factors s of its own.

    Those of the tokens' branch are one number for all channels: the layer's weights, one for each
    token, can take that in.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.affine1 = Affine(1)
        self.tokens = nn.Linear(TOKENS, TOKENS)
        self.scale1 = nn.Parameter(torch.full((1,), 0.5))
        self.affine2 = Affine(channels)
        self.channels = Perceptron(channels, hidden)
        self.scale2 = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = self.tokens(self.affine1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.scale1 * mixed
        return x + self.scale2 * self.channels(self.affine2(x))


class ResMLP(nn.Module):
    """Linear layers over tokens and perceptrons over channels; no normalisation but factors."""

    def __init__(self, channels: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.patches = Patches(channels)
        self.blocks = nn.Sequential(*(ResMLPBlock(channels, hidden) for _ in range(depth)))
        self.affine = Affine(channels)
        self.fc = nn.Linear(TOKENS * channels, CLASSES)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.affine(self.blocks(self.patches(pixels)))
        return self.fc(x.flatten(1))


class MixerBlock(nn.Module):
    """x + tokens(norm(x)), then x + channels(norm(x)).

    The first norm has no factors of its own: weights of tokens cannot take in those of channels.
    """

    def __init__(self, channels: int, token_hidden: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, elementwise_affine=False)
        self.tokens = Perceptron(TOKENS, token_hidden)
        self.norm2 = nn.LayerNorm(channels)
        self.channels = Perceptron(channels, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """Perceptrons over tokens and over channels, with layer normalisation before each."""

    def __init__(self, channels: int, token_hidden: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.patches = Patches(channels)
        blocks = (MixerBlock(channels, token_hidden, hidden) for _ in range(depth))
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.fc = nn.Linear(TOKENS * channels, CLASSES)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.blocks(self.patches(pixels)))
        return self.fc(x.flatten(1))


class ConvNeXtBlock(nn.Module):
    """x + s·channels(norm(depthwise 7x7 of x)), with a factor s for each channel."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.channels = Perceptron(channels, hidden)
        self.scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.scale * self.channels(self.norm(y))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """Depthwise windows of 7x7 and perceptrons over channels, with layer normalisation between."""

    def __init__(self, channels: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, channels, PATCH, stride=PATCH)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(channels, hidden) for _ in range(depth)))
        self.fc = nn.Linear(TOKENS * channels, CLASSES)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(pixels.unsqueeze(1) / 255))
        return self.fc(x.flatten(1))


def resmlp() -> ResMLP:
    """32 channels, 64 hidden, two blocks: 29 thousand weights in ``fashion_resmlp.pth``."""
    return ResMLP(channels=32, hidden=64, depth=2)


def mixer() -> Mixer:
    """32 channels, 32 and 64 hidden, two blocks: 31 thousand weights in ``fashion_mixer.pth``."""
    return Mixer(channels=32, token_hidden=32, hidden=64, depth=2)


def convnext() -> ConvNeXt:
    """32 channels, 64 hidden, two blocks: 28 thousand weights in ``fashion_convnext.pth``."""
    return ConvNeXt(channels=32, hidden=64, depth=2)
