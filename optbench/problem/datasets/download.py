"""Limits downloads, so that a server that hangs, sends endless data or sends a malicious archive does no harm."""

from __future__ import annotations

import socket
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds without a response after which a download is aborted.
PATIENCE = 30.0
#: Maximum size of a downloaded or extracted file in bytes: more than twice that of the largest expected one (244 MB).
LARGEST_FILE = 512 * 2**20


@contextmanager
def download_guard() -> Iterator[None]:
    """Limit the downloads of this process for the duration of the context.

    A download is aborted if the server does not respond for `PATIENCE` seconds. A downloaded or extracted file that
    grows beyond `LARGEST_FILE` raises OSError, on systems that support such a limit. An archive member that would be
    extracted outside of the target folder, by its path or by a link, raises tarfile.TarError. (torchvision verifies an
    archive's MD5 hash before extracting it; these limits also hold for an archive with a forged hash.)
    """
    with _timeout(), _file_size_limit(), _extraction_filter():
        yield


@contextmanager
def _timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _file_size_limit() -> Iterator[None]:
    try:
        import resource
    except ImportError:  # not on Windows
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    # Python ignores the signal SIGXFSZ, so that a write beyond the limit raises OSError.
    resource.setrlimit(resource.RLIMIT_FSIZE, (min([LARGEST_FILE, *limits]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _extraction_filter() -> Iterator[None]:
    """Apply the `data` filter of PEP 706, the default since Python 3.14, in earlier versions too."""
    before = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before
