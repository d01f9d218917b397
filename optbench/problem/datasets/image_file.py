"""Reads one image file as bytes: upright, composed over a ground, and with grey levels of more than 8 bits scaled."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.errors import UserError, one_line

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

#: Grey level of the ground of transparent images: black shapes are visible on it, and white ones too.
GROUND = 128
_ORIENTATION = 0x0112


def traits(path: str) -> frozenset[str]:
    """Return what is special about an image, from its header.

    Returns:
        Any of "turned" (an EXIF orientation, which Pillow itself applies to TIFF), "transparent", "deep" (grey levels
        of more than 8 bits) and "sixteen" (colours of 16 bits, of which Pillow reads the upper 8). Nothing for a file
        that is not an image.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    status = Path(path).stat()
    return _traits(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2**20)
def _traits(path: str, size: int, modified: int) -> frozenset[str]:
    from PIL import Image

    try:
        with _guarded(), Image.open(path) as image:
            layout = str(image.tile[0].args) if image.tile else ""
            # Pillow reads what follows the pixels of a PNG only with them.
            exif = image.getexif() if _has_text_after_pixels(path, image.format) else Image.Image.getexif(image)
            found = {
                "turned": image.format != "TIFF" and exif.get(_ORIENTATION, 1) != 1,
                "transparent": image.has_transparency_data,
                "deep": image.mode.startswith("I"),
                "sixteen": ";16" in layout and not image.mode.startswith("I"),
            }
    except Exception:  # reading the image names it and the reason
        return frozenset()
    return frozenset(name for name, holds in found.items() if holds)


def _has_text_after_pixels(path: str, kind: str | None) -> bool:
    """Whether an image is a PNG with a chunk after its pixels that may hold EXIF data."""
    if kind != "PNG":
        return False
    pixels = False
    with Path(path).open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            pixels |= head[4:] == b"IDAT"
            if pixels and head[4:] in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            file.seek(int.from_bytes(head[:4]) + 4, 1)
    return False


def range_of(paths: Iterable[str]) -> tuple[int, int]:
    """Return the lowest and the highest grey level of images.

    Raises:
        UserError: If a file is not a readable image.
    """
    import numpy as np

    extremes = []
    for path in paths:
        with _naming(path), _guarded():
            from PIL import Image

            with Image.open(path) as image:
                values = np.asarray(image)
                extremes.append((int(values.min()), int(values.max())))
    return min(low for low, _ in extremes), max(high for _, high in extremes)


def read(path: str, size: int, channels: int, levels: tuple[int, int]) -> np.ndarray:
    """Read an image as bytes of shape (size, size, channels).

    Args:
        path: The file.
        size: Width and height to which the image is scaled, in pixels.
        channels: 1 for a grey image, 3 for RGB.
        levels: The grey levels that become 0 and 255 in images of more than 8 bits.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If the file is not a readable image.
    """
    import numpy as np
    from PIL import Image

    with _naming(path), _guarded(), Image.open(path) as image:
        return np.asarray(_scale(image, size, channels, levels)).reshape(size, size, channels)


@contextmanager
def _guarded() -> Iterator[None]:
    with warnings.catch_warnings():
        # A file of a few kilobytes may declare an image of gigabytes.
        from PIL import Image

        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's decoders raise various exceptions for broken files
        raise UserError(f"image {path!r} can't be read: {_reason(path, error)}") from error


def _reason(path: str, error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if not Path(path).stat().st_size:
        return "it is empty"
    if isinstance(error, UnidentifiedImageError):
        return "Pillow does not recognise it as an image"
    return one_line(error)


def _scale(image: Image, size: int, channels: int, levels: tuple[int, int]) -> Image:
    from PIL import Image, ImageOps

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a defined range")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _to_bytes(image, levels)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (GROUND, GROUND, GROUND, 255)), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return image


def _to_bytes(image: Image, levels: tuple[int, int]) -> Image:
    """Scales grey levels of more than 8 bits, which Pillow would clip at 255."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.float64)
    low, high = levels
    scaled = (values - low) / max(high - low, 1) * 255
    return Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8))
