"""The first layer of AlexNet with torchvision's pretrained weights, with weights from a file, or with random weights.

Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), as implemented in torchvision.
"""

from __future__ import annotations

import http.client
import pickle
import sys
from contextlib import redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.errors import UserError, one_line, unknown
from optbench.problem.content import file_digest

if TYPE_CHECKING:
    from torch import Tensor, nn

#: The values of `weights` for torchvision's weights, trained on ImageNet, and for random weights.
IMAGENET, RANDOM = "imagenet", "none"
_TORCHVISION = "AlexNet_Weights.IMAGENET1K_V1"
_ACCEPTED = "weights=FILE with a state dict of torchvision's AlexNet, weights=imagenet, weights=none"
#: Names of the layer's parameters in a state dict of the whole network, with their shapes.
_SHAPES = {"features.0.weight": (64, 3, 11, 11), "features.0.bias": (64,)}


def check_weights(what: str, weights: str) -> None:
    """Check that `weights` is `imagenet`, `none` or an existing file, which is not opened.

    Args:
        what: Name of the parameter, for error messages.
        weights: The value to check.

    Raises:
        UserError: If it is something else.
    """
    if weights in (IMAGENET, RANDOM):
        return
    path = Path(weights).expanduser()
    if path.is_file():
        return
    if path.suffix or len(path.parts) > 1:
        raise UserError(f"{what}: {weights} is not a file (accepted: {_ACCEPTED})")
    raise unknown(what, weights, [IMAGENET, RANDOM, "the path of a state dict"])


def weights_identity(weights: str) -> str | dict[str, str]:
    """Return what enters a cell's identity: `imagenet`, `none`, or the hash of the file's content."""
    if weights in (IMAGENET, RANDOM):
        return weights
    return {"sha256": file_digest(Path(weights).expanduser())}


def first_layer(weights: str, download: bool = True) -> nn.Conv2d:
    """Construct the first layer: a convolution 3→64, 11 × 11, stride 4.

    Args:
        weights: `imagenet`, `none`, or the path of a state dict of torchvision's AlexNet.
        download: Whether torchvision's weights may be downloaded.

    Raises:
        UserError: If the weights are missing or do not fit the layer.
    """
    import torch
    from torch import nn

    layer = nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2)
    if weights != RANDOM:
        weight, bias = _load_weights(str(weights_identity(weights)), weights, download)
        with torch.no_grad():
            layer.weight.copy_(weight)
            assert layer.bias is not None
            layer.bias.copy_(bias)
    return layer


@lru_cache(maxsize=2)
def _load_weights(identity: str, weights: str, download: bool) -> tuple[Tensor, ...]:
    state = _from_torchvision(download) if weights == IMAGENET else _from_file(Path(weights).expanduser())
    origin = "AlexNet's weights" if weights == IMAGENET else f"weights file {weights}"
    tensors = []
    for name, shape in _SHAPES.items():
        tensor = state.get(name) if isinstance(state, dict) else None
        if tensor is None or tuple(getattr(tensor, "shape", ())) != shape:
            fault = f"has no {name}" if tensor is None else f"has {name} of shape {tuple(getattr(tensor, 'shape', ()))}"
            raise UserError(f"{origin} {fault} (accepted: a state dict of torchvision's AlexNet, with shape {shape})")
        tensors.append(tensor.detach().clone())
    return tuple(tensors)


def _from_torchvision(download: bool) -> Any:
    import torch
    from torchvision.models import get_weight

    from optbench.problem.datasets.download import download_guard

    weights = get_weight(_TORCHVISION)
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if not path.is_file() and not download:
        raise UserError(
            f"AlexNet's pretrained weights are not in {path.parent}, and downloads are disabled "
            f"(accepted: weights=FILE, or weights=none for random weights)"
        )
    try:
        # torch reports its download on stdout, which is reserved for data.
        with download_guard(), redirect_stdout(sys.stderr):
            return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, pickle.UnpicklingError) as error:
        raise UserError(
            f"AlexNet's pretrained weights are not in {path.parent} and can't be downloaded: {one_line(error)} "
            f"(accepted: weights=FILE, or weights=none for random weights)"
        ) from error


def _from_file(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = "it was not written by torch.save, or it contains objects other than tensors, which are not loaded"
        raise UserError(f"weights file {path}: {reason} (accepted: {_ACCEPTED})") from error
    except Exception as error:  # torch raises various exceptions for broken archives
        raise UserError(f"weights file {path} can't be read: {one_line(error)} (accepted: {_ACCEPTED})") from error
