"""The example's perceptrons: 28x28 digits in, ten logits out."""

import torch
from torch import nn


class Perceptron(nn.Module):
    """784-hidden-10 with one hidden layer, ReLU unless said.

    Takes raw pixels 0..255 as floats, (n, 28, 28), and gives logits (n, 10). The scaling in front
    and the batch normalisation are part of the model: the importer folds both.
    """

    def __init__(self, hidden: int, dropout: float = 0.0, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(784, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.act = act()
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.flatten(pixels / 255)
        x = self.act(self.norm(self.fc1(x)))
        return self.fc2(self.dropout(x))


def mlp128() -> Perceptron:
    """784-128-10, weights in ``mnist_mlp128.pth``."""
    return Perceptron(128, dropout=0.1)


def mlp32() -> Perceptron:
    """784-32-10, weights in ``mnist_mlp32.pth``."""
    return Perceptron(32)


def gelu128() -> Perceptron:
    """784-128-10 with GELU, weights in ``mnist_gelu128.pth``."""
    return Perceptron(128, dropout=0.1, act=nn.GELU)
