"""The content of files and tensors as digests, by which data are identified, wherever they are."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optbench.problem.data import Data


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 hash of a file's content; a file is read again if its size or modification time changes.

    Raises:
        OSError: If the file can't be read.
    """
    status = Path(path).stat()
    return _digest(os.fspath(path), status.st_size, status.st_mtime_ns)


# A data set may be a million images.
@lru_cache(maxsize=2**20)
def _digest(path: str, size: int, modified: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_digest(data: Data) -> str:
    """Return a hash of the types, shapes and values of all tensors, 12 hexadecimal digits; "" for other data.

    Data of other types are refused before a training.
    """
    import torch

    digest = hashlib.sha256()
    for split in (data.train, data.valid, data.test):
        if not (isinstance(split, tuple) and all(isinstance(part, torch.Tensor) for part in split)):
            return ""
        for part in split:
            dense = part.detach().to_dense() if part.layout != torch.strided else part.detach()
            digest.update(f"{dense.dtype} {tuple(dense.shape)};".encode())
            digest.update(dense.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]
