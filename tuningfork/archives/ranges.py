"""Parts of large files: opened by their first bytes, fetched by byte ranges into a sparse copy in the cache, never twice.

A `Remote` is one file of an archive as it was when it was opened: should its length or validator be another later, nothing is mixed and an
error says so. How ranges are chosen is in `range_plan`, how they are fetched in `range_fetch`, what lies on disk in `sparse`.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from fsspec.spec import AbstractBufferedFile

from tuningfork.archives.cache import Entry, locked
from tuningfork.archives.checks import BadReply, check_realm
from tuningfork.archives.download import Transient
from tuningfork.archives.intervals import Intervals
from tuningfork.archives.multipart import Pieces
from tuningfork.archives.range_fetch import MAX_FILE_BYTES, Remote, Traffic, fetch, open_copy, pieces_of, write_pieces
from tuningfork.archives.range_plan import MAX_REQUEST_BYTES, Read, pixel_bytes
from tuningfork.archives.range_request import Reply, ask_range, validator_of, whole_copy
from tuningfork.archives.sparse import SUFFIX, SparseFile, forget, present_in
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError

__all__ = ["RangesUnsupported", "Read", "Remote", "RemoteFile", "Traffic", "fetch", "fetch_windows", "open_remote", "whole_copy"]

log = logging.getLogger(__name__)

HEAD_BYTES = 10 * 2880
"""Asked for at once where a header is read: headers of drizzled mosaics have two to sixteen blocks."""
ONE_RANGE = frozenset(("s3",))
"""Archives that answer one range a request, as their documentation says (Amazon S3, GetObject): not asked for two, to which S3 answers with the whole file."""


class RangesUnsupported(ArchiveError):
    """The archive does not serve parts of this file, or gives nothing by which a change of it could be noticed: fetch it whole."""


class RemoteFile(AbstractBufferedFile):  # type: ignore[misc]
    """A remote file for reading, as fsspec has them: ``fits.open(file)`` reads headers, ``hdu.section[...]`` the rows that it touches.

    What is read stays in the sparse copy. For many windows at once `fetch_windows` needs far fewer requests.
    """

    def __init__(self, transport: Transport, remote: Remote) -> None:
        self._transport, self._remote = transport, remote
        super().__init__(None, remote.path, mode="rb", cache_type="none", size=remote.length)

    def _fetch_range(self, start: int, end: int) -> bytes:
        # Rounded up to blocks of some size, so that a header read card by card is not a request for each.
        first, last = start // HEAD_BYTES, -(-end // HEAD_BYTES)
        if not _here(self._remote, start, end):
            fetch(self._transport, self._remote, Intervals.of([first * HEAD_BYTES], [min(last * HEAD_BYTES, self._remote.length)]))
        with locked(Entry(self._remote.file)), open_copy(self._remote) as sparse:
            return sparse.read(start, end)


def open_remote(transport: Transport, archive: str, path: str, *, read: Read = "auto") -> Remote:
    """Ask for the first bytes of a FITS image: its length, its version, its header, and how the server answers.

    One request; two where the server was not known to take one range at a time (`ONE_RANGE`); more for a long header.

    Parameters
    ----------
    transport
        An open transport.
    archive, path
        The file; not compressed as a whole.
    read
        How its pixels will be fetched.

    Raises
    ------
    RangesUnsupported
        It can only be fetched whole.
    NotInArchive, ArchiveError
        As `Transport.fetch`; or it is no FITS file with an image of two axes and of exactly the length that its headers promise.
    """
    head = f"bytes=0-{HEAD_BYTES - 1}"
    reply, pieces = _first_bytes(transport, archive, path, head if archive in ONE_RANGE else f"{head},-1")
    if pieces is None and archive not in ONE_RANGE:
        reply, pieces = _first_bytes(transport, archive, path, head)
    validator = validator_of(reply.headers)
    if pieces is None or validator is None or not len(pieces.pieces) or path.endswith((".gz", ".bz2", ".xz", ".zip")):
        raise RangesUnsupported(f"archive {archive!r} serves {path} only whole")
    remote = Remote.of(transport, {"archive": archive, "path": path, "length": pieces.length, "validator": validator, "several": pieces.several, "read": read})
    if remote.length > MAX_FILE_BYTES:
        raise ArchiveError(f"archive {archive!r}: {path} has {remote.length} bytes, more than the {MAX_FILE_BYTES} that are reasonable for it; refused")
    remote.file.parent.mkdir(parents=True, exist_ok=True)
    with locked(Entry(remote.file)):
        _forget_other_versions(remote)
        with open_copy(remote) as sparse:
            _keep(sparse, pieces)
    try:
        _check(transport, remote)
    except ArchiveError:
        forget(remote.file)
        raise
    return remote


def fetch_windows(
    transport: Transport, record: Mapping[str, Any], row: np.ndarray, column: np.ndarray, size: np.ndarray, *, plane: int = 0, progress: bool | None = None
) -> tuple[Path, Traffic]:
    """See to it that the pixels of square windows are here.

    Parameters
    ----------
    transport
        An open transport.
    record
        Of the file, from a manifest (`Remote.record`).
    row, column, size : ndarray of int, shape (N,)
        First pixel, 0-based, and side of each window; what lies off the image is left out.
    plane
        Of a cube.
    progress
        As in `fetch`.

    Returns
    -------
    Path, Traffic
        The sparse copy, which `tuningfork.stamps.mosaic.Mosaic` reads and in which no other pixels may be read; and what it cost.

    Raises
    ------
    ArchiveError
        As `fetch`.
    """
    remote = Remote.of(transport, record)
    remote.file.parent.mkdir(parents=True, exist_ok=True)
    with _fits(transport, remote) as hdus:
        image = next(hdu for hdu in hdus if hdu.is_image and hdu.header["NAXIS"] >= 2)
        itemsize, shape = abs(image.header["BITPIX"]) // 8, (image.header["NAXIS2"], image.header["NAXIS1"])
        offset = image.fileinfo()["datLoc"] + plane * shape[0] * shape[1] * itemsize
    traffic = fetch(transport, remote, pixel_bytes(offset, itemsize, shape, row, column, size), progress=progress)
    return remote.file, traffic


def _first_bytes(transport: Transport, archive: str, path: str, spans: str) -> tuple[Reply, Pieces | None]:
    def use(reply: Reply) -> tuple[Reply, Pieces | None]:
        if reply.status != 206:
            return reply, None
        pieces = pieces_of(reply)
        if not pieces.complete:
            raise Transient("the first bytes were cut")
        return reply, pieces

    return ask_range(transport, archive, path, headers=lambda: {"Range": spans}, use=use, gained=lambda: 0, most=MAX_REQUEST_BYTES)


def _keep(sparse: SparseFile, pieces: Pieces) -> None:
    if any(not sparse.has(piece.start, piece.start + len(piece.data)) for piece in pieces.pieces):
        sparse.commit([write_pieces(sparse, pieces)])


def _here(remote: Remote, start: int, stop: int) -> bool:
    try:
        present = present_in(remote.file) if remote.file.exists() else None
    except ArchiveError:
        return False
    return present is not None and bool(present.covers(np.array([start]), np.array([stop]))[0])


def _forget_other_versions(remote: Remote) -> None:
    stem = remote.file.name.split("-", 1)[0]
    for other in remote.file.parent.glob(f"{stem}-*{SUFFIX}{remote.file.suffix}"):
        if other.name != remote.file.name:
            log.info("%s: another version of %s, removed", other, remote.path)
            forget(other)


@contextlib.contextmanager
def _fits(transport: Transport, remote: Remote) -> Iterator[fits.HDUList]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with RemoteFile(transport, remote) as file, fits.open(file, mode="readonly", disable_image_compression=True) as hdus:
                yield hdus
    except (OSError, KeyError, IndexError, TypeError, ValueError, StopIteration, fits.VerifyError) as error:
        raise ArchiveError(f"archive {remote.archive!r}: {remote.path} has no FITS header that can be read ({error})") from error


def _check(transport: Transport, remote: Remote) -> None:
    """As `checks.check_fits_image` and `checks.check_realm`, of a file whose headers alone are here."""
    with _fits(transport, remote) as hdus:
        axes, last = hdus[0].header["NAXIS"], hdus[-1].fileinfo()
        promised = last["datLoc"] + last["datSpan"]
    if axes != 2:
        raise ArchiveError(f"archive {remote.archive!r}: {remote.path} is a FITS file whose primary image has {axes} axes, not 2")
    if promised != remote.length:
        raise ArchiveError(f"archive {remote.archive!r}: {remote.path} is cut short: its headers promise {promised} bytes, it has {remote.length}")
    try:
        check_realm(remote.file, transport.realm)
    except BadReply as error:
        raise ArchiveError(f"archive {remote.archive!r}: {remote.path}: {error}") from error
