"""A replacement for convolutions that oneDNN computes incorrectly on some CPUs."""

from __future__ import annotations

from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """A 1 × 1 convolution that first drops pixels and then uses a stride of 1, which gives the same sums.

    On CPUs with AVX2 and without AVX-512, oneDNN (3.12, in torch 2.14; its issue 6035) writes past its workspace when
    it computes the gradient of the weights of a strided 1 × 1 convolution with fewer than eight channels, if an image,
    the weights or a gradient is channels-last. Memory is corrupted, or gradients are silently wrong. A stride of 1
    uses other code.
    """

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows, columns = self.stride
        return nn.functional.conv2d(x[..., ::rows, ::columns], weight, bias)


def replace_convolutions(model: nn.Module) -> None:
    """Changes the class of layers whose gradients may be wrong on a CPU to `Conv2d`, without touching parameters.

    Not covered are convolutions that a model calls as a function or by its own class, and parametrized (such as with a
    spectral norm) or lazy layers.
    """
    for module in model.modules():
        if type(module) is nn.Conv2d and _needs_replacement(module):
            module.__class__ = Conv2d


def _needs_replacement(layer: nn.Conv2d) -> bool:
    """Whether oneDNN's gradients may be wrong; from tests of kernels, strides, channels, groups, formats and CPUs."""
    plain = layer.kernel_size == (1, 1) and layer.groups == 1 and layer.padding in ((0, 0), "valid")
    return plain and max(layer.stride) > 1 and layer.in_channels < 8
