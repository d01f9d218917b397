"""Randomly shifts and flips a whole batch of images at once, on its device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def shift_and_flip(images: Tensor, reach: int, mirror: bool, generator: torch.Generator) -> Tensor:
    """Shift each image by a random number of pixels, and flip it left to right with probability ½.

    Args:
        images: Images, (N, C, H, W).
        reach: Maximum shift in each direction, in pixels. Pixels from outside of the image are 0.
        mirror: Whether to flip.
        generator: Generator of the random numbers, on the images' device.

    Returns:
        Images, (N, C, H, W), stored channels-last.
    """
    n, channels, height, width = images.shape
    device = images.device

    def draw(count: int) -> Tensor:
        return torch.randint(count, (n, 1), generator=generator, device=device)

    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, reach, reach, reach, reach))
    rows = torch.arange(height, device=device) + draw(2 * reach + 1)
    columns = torch.arange(width, device=device)
    if mirror:
        columns = torch.where(draw(2) == 1, columns.flip(0), columns)
    columns = columns + draw(2 * reach + 1)
    # One gather of whole pixels, by their indices in the flattened padded batch.
    row_length = width + 2 * reach
    image_length = (height + 2 * reach) * row_length
    first = torch.arange(n, device=device).view(n, 1, 1) * image_length
    indices = first + rows.unsqueeze(2) * row_length + columns.unsqueeze(1)
    pixels = padded.reshape(n * image_length, channels).index_select(0, indices.flatten())
    return pixels.view(n, height, width, channels).permute(0, 3, 1, 2)
