"""Downloads that can't do harm, whatever a server sends: it may not answer, answer without end, or send a bomb."""

from __future__ import annotations

import socket
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds without an answer after which a download is given up.
PATIENCE = 30.0
#: Bytes that a downloaded or unpacked file may have: above twice the largest that is expected, weights of 244 MB.
LARGEST_FILE = 512 * 2**20


@contextmanager
def guarded() -> Iterator[None]:
    """A context for downloads of this process.

    A server that doesn't answer for `PATIENCE` seconds is given up. A file that grows beyond `LARGEST_FILE`, a
    download or what is unpacked from one, raises OSError; where the system has no such limit, nothing does. Archives
    that reach outside of their folder, by a path or a link, raise tarfile.TarError. (torchvision compares an archive
    with its MD5 before it unpacks it; this holds also where that would be deceived.)
    """
    with _impatient(), _small_files(), _within_their_folder():
        yield


@contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _small_files() -> Iterator[None]:
    try:
        import resource
    except ImportError:  # not on Windows
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    # Python ignores SIGXFSZ: a write beyond the limit raises.
    resource.setrlimit(resource.RLIMIT_FSIZE, (min([LARGEST_FILE, *limits]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _within_their_folder() -> Iterator[None]:
    """Python 3.14's rule for archives, PEP 706, in the earlier versions as well."""
    before = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before
