"""The residual networks for small images of He et al., "Deep residual learning" (2015), section 4.2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PadShortcut(nn.Module):
    """The paper's option A: every `stride`-th pixel of every `stride`-th row, with zero channels appended."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.added = channels_out - channels_in
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        grid = x[:, :, :: self.stride, :: self.stride]
        return F.pad(grid, (0, 0, 0, 0, 0, self.added))


class GlobalMean(nn.Module):
    """The mean over all pixels, (N, C, H, W) to (N, C). Unlike torch's adaptive pooling, `vmap` can batch it."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Block(nn.Module):
    """Two 3 × 3 convolutions with dropout between them and a shortcut around them, unless `shortcut` is "none"."""

    def __init__(
        self, channels_in: int, channels_out: int, stride: int, shortcut: str, norm: str, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.conv1 = _convolution(channels_in, channels_out, 3, stride, norm)
        self.norm1 = _normalisation(channels_out, norm)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = _convolution(channels_out, channels_out, 3, 1, norm)
        self.norm2 = _normalisation(channels_out, norm)
        self.shortcut: nn.Module | None
        if shortcut == "none":
            self.shortcut = None
        elif stride == 1 and channels_in == channels_out:
            self.shortcut = nn.Identity()
        elif shortcut == "pad":
            self.shortcut = PadShortcut(channels_in, channels_out, stride)
        else:
            self.shortcut = nn.Sequential(
                _convolution(channels_in, channels_out, 1, stride, norm), _normalisation(channels_out, norm)
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.dropout(F.relu(self.norm1(self.conv1(x))))
        outer: Tensor = self.norm2(self.conv2(inner))
        return F.relu(outer if self.shortcut is None else outer + self.shortcut(x))


class ResNet(nn.Sequential):
    """6n + 2 layers: a convolution, three stages of n blocks at full, half and quarter size, a linear layer.

    Maps images, (N, `channels`, H, W), to scores, (N, `classes`). Convolutions are initialised as in He et al.,
    "Delving deep into rectifiers" (2015): normal with variance 2 / fan-in. Biases start at 0.

    Without normalisation, the sum of shortcut and branch would double the variance in each block. Therefore the last
    convolution of each branch is scaled by 1/√(number of blocks), which bounds the variance by a factor of e. With
    `init=identity`, the last scale of each branch (without normalisation, its last convolution) starts at 0.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        depth: int,
        width: int,
        shortcut: str = "pad",
        norm: str = "batch",
        dropout: float = 0.0,
        init: str = "he",
    ) -> None:
        each = (depth - 2) // 6
        blocks: list[nn.Module] = []
        before = width
        for stage in range(3):
            after = width * 2**stage
            for index in range(each):
                blocks.append(Block(before, after, 2 if stage and not index else 1, shortcut, norm, dropout))
                before = after
        super().__init__(
            _convolution(channels, width, 3, 1, norm),
            _normalisation(width, norm),
            nn.ReLU(),
            *blocks,
            GlobalMean(),
            nn.Linear(before, classes),
        )
        self._initialise(len(blocks), shortcut, norm, init)

    @torch.no_grad()
    def _initialise(self, blocks: int, shortcut: str, norm: str, init: str) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    module.bias.zero_()
        for module in self.modules():
            if isinstance(module, Block):
                if init == "identity":
                    nn.init.zeros_((module.norm2 if norm == "batch" else module.conv2).get_parameter("weight"))
                elif norm == "none" and shortcut != "none":
                    module.conv2.weight.mul_(blocks**-0.5)


def _convolution(channels_in: int, channels_out: int, size: int, stride: int, norm: str) -> nn.Conv2d:
    # Normalisation after the convolution would cancel a bias.
    return nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2, bias=norm == "none")


def _normalisation(channels: int, norm: str) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()
