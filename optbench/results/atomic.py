"""Atomic writes: a file is written completely or not at all, even if the machine stops in between."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class ResultsWriteError(OSError):
    """The results cannot be written: the disk is full, read-only or gone.

    The error concerns the whole run. It is not recorded as the result of a cell.
    """


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # A failed rename has two file names; the second is the file to be written.
        raise ResultsWriteError(error.errno, error.strerror, error.filename2 or error.filename) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces the file `path` by `data`, completely or not at all (see `replace_file`)."""
    with replace_file(path) as file:
        file.write(data)


@contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file that replaces `path` once the block ends without an error.

    The temporary file is in the same folder. It is flushed, synced to the disk and renamed; then the folder is synced.
    After an error it is removed, and `path` is unchanged.

    Raises:
        ResultsWriteError: The disk refuses the write.
    """
    with _translate_errors():
        _make_directory(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # mkstemp creates files that only their owner can read; results get the permissions of the umask.
            Path(temporary).chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replaces the file `path` by `value` as JSON, with null for numbers that are not finite (see `replace_file`)."""
    write_bytes(
        path, (json.dumps(replace_nonfinite(value), ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()
    )


@_translate_errors()
def append_json_line(path: Path, value: Any) -> None:
    """Appends `value` as one line of JSON and returns once the line is on the disk.

    Whatever `read_json_lines` would not read (a torn last line, or everything from a damaged line on) is cut off first:
    a line after it would never be read.

    Raises:
        ResultsWriteError: The disk refuses the write.
    """
    _make_directory(path.parent)
    line = json.dumps(replace_nonfinite(value), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    created = not path.exists()
    with path.open("ab+") as file:
        file.seek(0)
        file.truncate(_parse_whole_lines(file.read())[1])
        file.seek(0, os.SEEK_END)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if created:
        _sync_directory(path.parent)


def read_json_lines(path: Path) -> list[Any]:
    """Returns the values of a file's lines up to the first damaged or incomplete one; [] without a file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return _parse_whole_lines(data)[0]


def _parse_whole_lines(data: bytes) -> tuple[list[Any], int]:
    """Returns the values of the lines up to the first damaged or torn one, and their length in bytes."""
    values: list[Any] = []
    length = 0
    for line in data.splitlines(keepends=True):
        try:
            if not line.endswith(b"\n"):
                break
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            break
        length += len(line)
    return values, length


def replace_nonfinite(value: Any) -> Any:
    """Returns `value` with None in place of every float that is not finite: JSON has only null for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): replace_nonfinite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [replace_nonfinite(item) for item in value]
    return value


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def _make_directory(directory: Path) -> None:
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        _sync_directory(folder.parent)


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
