"""The example's convolutional network: 28x28 digits in, ten logits out."""

import torch
from torch import nn


class SmallConvolutions(nn.Module):
    """Three convolutions of 3x3 with stride 2 and a linear layer: 28x28, 14x14, 7x7, 4x4, 10.

    Takes raw pixels 0..255 as floats, (n, 28, 28), and gives logits (n, 10). The scaling in front
    and the batch normalisation are part of the model: the importer folds both.
    """

    def __init__(self, first: int, second: int, third: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, first, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(first)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(second)
        self.act2 = nn.ReLU()
        self.conv3 = nn.Conv2d(second, third, 3, stride=2, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(third)
        self.act3 = nn.ReLU()
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(third * 4 * 4, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = pixels.unsqueeze(1) / 255
        x = self.act1(self.norm1(self.conv1(x)))
        x = self.act2(self.norm2(self.conv2(x)))
        x = self.act3(self.norm3(self.conv3(x)))
        return self.fc(self.flatten(x))


def cnn() -> SmallConvolutions:
    """8, 16 and 24 channels, 8.6 thousand weights in ``mnist_cnn.pth``."""
    return SmallConvolutions(8, 16, 24)
