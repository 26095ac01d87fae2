"""Bytes of one remote file into its sparse copy: the plan carried out, as many requests at once as the archive bears.

What is asked, and what a reply means, is decided here; the door for callers is `ranges`.
"""

import concurrent.futures
import contextlib
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tuningfork.archives.cache import Entry, locked
from tuningfork.archives.checks import BadReply, check_fits_image
from tuningfork.archives.download import Transient
from tuningfork.archives.intervals import Intervals
from tuningfork.archives.multipart import Pieces, read_pieces
from tuningfork.archives.progress import Meter
from tuningfork.archives.range_plan import Plan, Read, make_plan
from tuningfork.archives.range_request import Reply, archive_of, ask_range, validator_of
from tuningfork.archives.request import Request
from tuningfork.archives.sparse import SUFFIX, SparseFile
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError
from tuningfork.files import digest_of

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 12 * 2**30
COMMIT_S = 5.0
"""What is here is synced and listed this often: so much work a killed job repeats."""


class _OneAtATime(ArchiveError):
    """The server answers one range a request, not several."""


class _Ignored(ArchiveError):
    """The server sends the whole file whatever is asked."""


@dataclasses.dataclass(frozen=True)
class Remote:
    """A file of an archive, and the sparse copy of it.

    Attributes
    ----------
    archive, path
        Where it is.
    length
        Its bytes.
    validator
        Its ETag or Last-Modified.
    several
        Whether the server answers several ranges in one reply: Apache and nginx do, S3 does not.
    read
        ``ranges`` or ``auto``; see `range_plan`.
    file
        The sparse copy. Its name holds the validator, so that another version of the file has another copy.
    """

    archive: str
    path: str
    length: int
    validator: str
    several: bool
    read: Read
    file: Path

    @classmethod
    def of(cls, transport: Transport, record: Mapping[str, Any]) -> "Remote":
        """From its record in a manifest; makes no request."""
        request = Request(record["archive"], record["path"])
        key = request.key(transport.realm)
        name = f"{key}-{digest_of([record['length'], record['validator']])[:12]}{SUFFIX}{request.suffix}"
        return cls(**{field: record[field] for field in _RECORDED}, file=transport.cache.root / "sparse" / key[:2] / name)

    @property
    def record(self) -> dict[str, Any]:
        """JSON-able; `of` makes the same again, in the same realm."""
        return {field: getattr(self, field) for field in _RECORDED}

    @property
    def origin(self) -> dict[str, Any]:
        """What is written beside the copy."""
        return {field: getattr(self, field) for field in ("archive", "path", "length", "validator")}


_RECORDED = ("archive", "path", "length", "validator", "several", "read")


@dataclasses.dataclass
class Traffic:
    """What a call cost: requests answered, and bytes of replies' bodies."""

    requests: int = 0
    received: int = 0
    whole: bool = False


def fetch(transport: Transport, remote: Remote, wanted: Intervals, *, progress: bool | None = None) -> Traffic:
    """See to it that the bytes `wanted` are in the sparse copy; what is there already is not asked again.

    Parameters
    ----------
    transport
        An open transport, of the realm in which the file was opened.
    remote
        From `open_remote` or `Remote.of`.
    wanted
        Bytes of the file.
    progress
        True or False to force a progress bar or silence; None shows one for much.

    Raises
    ------
    ArchiveError
        They did not come, after all retries (what came is kept); or the file is another than it was.
    """
    traffic, several = Traffic(), remote.several
    place = archive_of(transport, remote.archive)
    remote.file.parent.mkdir(parents=True, exist_ok=True)
    entry = Entry(remote.file)
    with locked(entry), open_copy(remote) as sparse:
        while len(missing := wanted.minus(sparse.present)):
            plan = make_plan(missing, remote.length, place, several=several, read=remote.read, present=sparse.present)
            log.debug(
                "%s: %s in %d requests, %.1f of %.1f MB", remote.path, "whole" if plan.whole else "ranges", plan.requests, plan.moved / 1e6, plan.length / 1e6
            )
            try:
                if plan.whole:
                    _fetch_whole(transport, remote, sparse, traffic, progress)
                else:
                    _Run(transport, remote, sparse, entry, traffic).run(plan, place.connections, progress)
            except _OneAtATime:
                several = False
            except _Ignored:
                _fetch_whole(transport, remote, sparse, traffic, progress)
    return traffic


class _Run:
    """The requests of one plan, as many at once as the archive bears; what comes is written at once and listed now and then."""

    def __init__(self, transport: Transport, remote: Remote, sparse: SparseFile, entry: Entry, traffic: Traffic) -> None:
        self.transport, self.remote, self.sparse, self.entry, self.traffic = transport, remote, sparse, entry, traffic
        self.guard = threading.Lock()
        self.fresh: list[Intervals] = []
        self.committed = time.monotonic()
        self.stopping = False

    def run(self, plan: Plan, connections: int, progress: bool | None) -> None:
        groups = plan.groups()
        with (
            Meter(PurePosixPath(self.remote.path).name, plan.parts.total, 0, progress) as meter,
            concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(connections, len(groups)))) as pool,
        ):
            futures = [pool.submit(self._fetch_group, group, plan.several, meter) for group in groups]
            try:
                for future in concurrent.futures.as_completed(futures):
                    future.result()
                    if time.monotonic() - self.committed >= COMMIT_S:
                        self._commit()
            finally:
                # After a failure or an interrupt nothing that waits begins, nothing that failed is tried again, and what came is kept.
                self.stopping = True
                pool.shutdown(wait=True, cancel_futures=True)
                self._commit()

    def _commit(self) -> None:
        with self.guard:
            fresh, self.fresh = self.fresh, []
        self.sparse.commit(fresh)
        self.committed = time.monotonic()
        with contextlib.suppress(OSError):
            os.utime(self.entry.lock)

    def _fetch_group(self, group: Intervals, several: bool, meter: Meter) -> None:
        left, gain = group, 0

        def headers() -> dict[str, str]:
            if self.stopping:
                raise ArchiveError(f"{self.remote.path}: given up with the other requests for it")
            spans = ",".join(f"{start}-{stop - 1}" for start, stop in zip(left.start.tolist(), left.stop.tolist(), strict=True))
            return {"Range": f"bytes={spans}", "If-Range": self.remote.validator}

        def use(reply: Reply) -> None:
            nonlocal left, gain
            gain = 0
            if reply.status != 206:
                self._refuse(reply, len(left))
            _same_version(self.remote, reply)
            pieces = pieces_of(reply)
            if pieces.length != self.remote.length:
                raise _changed(self.remote, f"it has {pieces.length} bytes now, not {self.remote.length}")
            came = write_pieces(self.sparse, pieces)
            asked, left = left, left.minus(came)
            gain = asked.total - left.total
            with self.guard:
                self.fresh.append(came)
                self.traffic.requests += 1
                self.traffic.received += len(reply.body)
                meter.add(gain)
            if not len(left):
                return
            if pieces.complete and not pieces.several and len(asked) > 1:
                raise _OneAtATime(f"archive {self.remote.archive!r} answered {len(asked)} ranges with one")
            if not pieces.complete or not gain:
                raise Transient(f"{left.total} of {asked.total} bytes did not come")

        # A server may send fewer parts than were asked, and that is no fault of the moment: the rest is asked for at once.
        while len(left):
            ask_range(self.transport, self.remote.archive, self.remote.path, headers=headers, use=use, gained=lambda: gain, most=_most(group))

    def _refuse(self, reply: Reply, asked: int) -> None:
        """A whole file (200) or nothing (416) where a part was asked: what it means."""
        found = validator_of(reply.headers)
        if reply.status == 200 and found == self.remote.validator:
            raise (_OneAtATime if asked > 1 else _Ignored)(f"archive {self.remote.archive!r} sends {self.remote.path} whole where a part was asked")
        if found is not None and found != self.remote.validator:
            raise _changed(self.remote, f"its validator is {found} now, not {self.remote.validator}")
        raise Transient(f"HTTP {reply.status} ({reply.headers.get('content-type', 'no type')}) where a part of the file was asked")


def _most(group: Intervals) -> int:
    # A server may merge neighbours and send what lies between; more than this is not what was asked.
    return 2 * group.total + 1024 * len(group) + 2**20


def pieces_of(reply: Reply) -> Pieces:
    """What a partial reply holds; one that does not say it is a `Transient` fault."""
    try:
        return read_pieces(reply.headers, reply.body)
    except BadReply as error:
        raise Transient(str(error)) from error


def write_pieces(sparse: SparseFile, pieces: Pieces) -> Intervals:
    """Put what came in its place; gives which bytes these are, for `SparseFile.commit`."""
    for piece in pieces.pieces:
        sparse.write(piece.start, piece.data)
    return Intervals.of([piece.start for piece in pieces.pieces], [piece.start + len(piece.data) for piece in pieces.pieces])


def _fetch_whole(transport: Transport, remote: Remote, sparse: SparseFile, traffic: Traffic, progress: bool | None) -> None:
    fetched = transport.fetch(remote.archive, remote.path, check=check_fits_image, resume=True, max_bytes=MAX_FILE_BYTES, progress=progress)
    found = validator_of(fetched.sidecar.get("headers", {}))
    if fetched.sidecar["bytes"] != remote.length or found not in (None, remote.validator):
        raise _changed(remote, f"it has {fetched.sidecar['bytes']} bytes and the validator {found} now")
    sparse.adopt(fetched.path)
    traffic.whole = True
    if not fetched.from_cache:
        traffic.requests += 1
        traffic.received += fetched.sidecar["bytes"]


def _same_version(remote: Remote, reply: Reply) -> None:
    found = validator_of(reply.headers)
    if found not in (None, remote.validator):
        raise _changed(remote, f"its validator is {found} now, not {remote.validator}")


def _changed(remote: Remote, how: str) -> ArchiveError:
    return ArchiveError(
        f"archive {remote.archive!r}: {remote.path} has changed since it was opened ({how}); delete the manifest of its field, "
        "so that it is opened again, and all its stamps are cut from one version"
    )


def open_copy(remote: Remote) -> SparseFile:
    """The sparse copy, to be entered while its lock is held."""
    return SparseFile(remote.file, remote.origin)
