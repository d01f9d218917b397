"""Random shifts and mirror images of a whole batch at once, on its device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def shifted_and_flipped(images: Tensor, reach: int, mirror: bool, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W), each shifted by up to `reach` pixels both ways, and flipped half of the time.

    What comes in from outside is 0. The result is stored channels-last, whatever the input. The random
    numbers are drawn from `generator`, which must be on the images' device.
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
    # One gather of whole pixels: their places in the padded batch, counted through all images.
    row_length = width + 2 * reach
    image_length = (height + 2 * reach) * row_length
    first = torch.arange(n, device=device).view(n, 1, 1) * image_length
    places = first + rows.unsqueeze(2) * row_length + columns.unsqueeze(1)
    pixels = padded.reshape(n * image_length, channels).index_select(0, places.flatten())
    return pixels.view(n, height, width, channels).permute(0, 3, 1, 2)
