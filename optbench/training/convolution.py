"""Convolutions that a library below torch miscomputes, computed in another way."""

from __future__ import annotations

from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """A 1 × 1 convolution that leaves out pixels first, and then takes a stride of one: the same sums.

    On CPUs with AVX2 and without AVX-512, oneDNN (3.12, in torch 2.14; its issue 6035) writes past its workspace in
    the gradient of the weights of a 1 × 1 convolution with a stride, of fewer than eight channels, if an image, the
    weights or a gradient is channels-last: memory is corrupted, or gradients are wrong without a word. A stride of one
    is computed by other code.
    """

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows, columns = self.stride
        return nn.functional.conv2d(x[..., ::rows, ::columns], weight, bias)


def mend_convolutions(model: nn.Module) -> None:
    """Makes those layers `Conv2d` of this module whose gradients may be wrong on a CPU; parameters stay as they are.

    Convolutions that a model calls as functions or by a class of its own are not seen, nor are parametrized (such as by
    a spectral norm) and lazy ones.
    """
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_miscomputed(module):
            module.__class__ = Conv2d


def _is_miscomputed(layer: nn.Conv2d) -> bool:
    """Found by trying kernels, strides, channels, groups and formats on each of oneDNN's instruction sets."""
    plain = layer.kernel_size == (1, 1) and layer.groups == 1 and layer.padding in ((0, 0), "valid")
    return plain and max(layer.stride) > 1 and layer.in_channels < 8
