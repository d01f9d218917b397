"""Writes that are either complete or did not happen, also when the machine stops in between."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class ResultsUnwritable(OSError):
    """The disk doesn't take results: full, read-only, gone. Nobody's result, and not to be recorded as one."""


@contextmanager
def _telling_apart() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Of two names, as in a rename, the second is the file that was to be written.
        raise ResultsUnwritable(error.errno, error.strerror, error.filename2 or error.filename) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces a file as a whole, or not at all (see `replacing`)."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` once it is complete: temporary file beside it, flush,
    fsync, rename, fsync of the folder.
    """
    with _telling_apart():
        _make_directory(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files for their owner alone; results are for everyone whom the umask allows.
            Path(temporary).chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, (json.dumps(finite(value), ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode())


@_telling_apart()
def append_json_line(path: Path, value: Any) -> None:
    """Appends one line and waits until it is on the disk.

    What `read_json_lines` doesn't read, a torn last line or whatever follows a damaged one, is cut off
    first: a line behind it would never be read.
    """
    _make_directory(path.parent)
    line = json.dumps(finite(value), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    created = not path.exists()
    with path.open("ab+") as file:
        file.seek(0)
        file.truncate(_whole_lines(file.read())[1])
        file.seek(0, os.SEEK_END)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if created:
        _sync_directory(path.parent)


def read_json_lines(path: Path) -> list[Any]:
    """The complete lines of a file up to the first damaged one; a torn last line is dropped."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return _whole_lines(data)[0]


def _whole_lines(data: bytes) -> tuple[list[Any], int]:
    """The values of the lines up to the first damaged or torn one, and the bytes that they take."""
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


def finite(value: Any) -> Any:
    """A value with null in place of every number that is not finite, for JSON has no other word."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def _make_directory(directory: Path) -> None:
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for folder in reversed(made):
        _sync_directory(folder.parent)


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
