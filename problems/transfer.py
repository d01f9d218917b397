"""A network that builds on the features of another network's first layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from optbench.problems.resnet import Block


class TransferNet(nn.Module):
    """Features → converter → residual blocks → average pooling → linear layer.

    Maps images, (N, 1 or 3, H, W), to scores, (N, `classes`). `features` is a convolution with 3 input channels. The
    parts are called `features`, `converter`, `blocks` and `head`.
    """

    def __init__(self, features: nn.Conv2d, classes: int, blocks: int, width: int) -> None:
        super().__init__()
        self.features = features
        self.converter = nn.Sequential(
            nn.Conv2d(features.out_channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.ModuleList([Block(width, width, 1, "pad", "batch") for _ in range(blocks)])
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        # A grey image has the same values in the red, green and blue channels.
        x = self.converter(F.relu(self.features(images.expand(-1, 3, -1, -1))))
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return scores
