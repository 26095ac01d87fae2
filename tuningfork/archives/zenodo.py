"""Zenodo: what a record holds, and its files, checked against the MD5 that the record publishes.

A record never changes (a new version is another record), so its description is cached like any file. The rate-limit headers are obeyed by
the transport.
"""

import dataclasses
import functools
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import quote

from tuningfork.archives.checks import BadReply
from tuningfork.archives.request import Fetched
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError, NotInArchive

ARCHIVE = "zenodo"
BLOCK = 2**20
MAX_RECORD_BYTES = 2**24


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """One file of a record: its name, size in bytes, MD5 (hex; None if the record gives none) and path on the archive."""

    name: str
    size: int
    md5: str | None
    path: str


def record(transport: Transport, record_id: str | int, *, refresh: bool = False) -> dict[str, RecordFile]:
    """The files of a record, by name (``GET /api/records/<id>``; reference/archives.md, 6).

    Raises
    ------
    ArchiveError
        The id is no number, or the reply is no description of that record.
    NotInArchive
        There is no such record.
    """
    number = _number(record_id)
    fetched = transport.fetch(
        ARCHIVE, f"/api/records/{number}", check=functools.partial(_check_record, number=number), max_bytes=MAX_RECORD_BYTES, refresh=refresh
    )
    return _files(fetched.path, number)


def fetch_file(transport: Transport, record_id: str | int, name: str, *, sha256: str | None = None, refresh: bool = False) -> Fetched:
    """A file of a record, whole: its size and MD5 are those of the record.

    Parameters
    ----------
    transport
        An open transport.
    record_id
        Number of the record.
    name
        Name of the file in it.
    sha256
        Hex SHA-256 that the file must have in the live realm, where one was published; a simulated record has its own bytes.
    refresh
        Ask for record and file again even if the cache has them.

    Raises
    ------
    NotInArchive
        There is no such record, or no such file in it (the message names those it has).
    ArchiveError
        The bytes are not those of the record after all retries, or have not the pinned SHA-256.

    Notes
    -----
    Files are asked of ``/records/<id>/files/<name>``; an interrupted download goes on by a Range request [from memory: that Zenodo allows
    it; it begins again where it does not]. A redirect within the host is followed, one to another host is refused.
    """
    number = _number(record_id)
    files = record(transport, number, refresh=refresh)
    if name not in files:
        raise NotInArchive(f"Zenodo record {number} has no file {name!r}; it has {', '.join(sorted(files)) or 'none'}")
    wanted = files[name]
    pinned = sha256 if transport.realm == "live" else None
    check = functools.partial(check_file, wanted=wanted, sha256=pinned)
    return transport.fetch(ARCHIVE, wanted.path, check=check, resume=True, max_bytes=wanted.size, refresh=refresh)


def check_file(path: Path, wanted: RecordFile, sha256: str | None = None) -> None:
    """Size, MD5 and, where one is given, SHA-256 of a file, in one pass.

    Raises
    ------
    BadReply
        They differ; transient unless the record's own MD5 fits and only the SHA-256 does not.
    """
    size = path.stat().st_size
    if size != wanted.size:
        raise BadReply(f"{wanted.name} has {size} bytes; its record says {wanted.size}")
    md5, sha = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            md5.update(block)
            if sha256 is not None:
                sha.update(block)
    if wanted.md5 is not None and md5.hexdigest() != wanted.md5:
        raise BadReply(f"{wanted.name} has MD5 {md5.hexdigest()}; its record says {wanted.md5}: bytes were damaged on the way")
    if sha256 is not None and sha.hexdigest() != sha256.lower():
        raise BadReply(f"{wanted.name} has SHA-256 {sha.hexdigest()}, not the published {sha256.lower()}; the record was changed", transient=wanted.md5 is None)


def _number(record_id: str | int) -> str:
    text = str(record_id).strip()
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ArchiveError(f"{record_id!r} is no Zenodo record; give its number, such as 4573248")
    return text


def _check_record(path: Path, number: str) -> None:
    _files(path, number)


def _files(path: Path, number: str) -> dict[str, RecordFile]:
    try:
        reply = json.loads(path.read_text(encoding="utf-8"))
        if str(reply["id"]) != number:
            # The number that stands for all versions leads to the newest, which changes.
            raise BadReply(f"the record is {reply['id']}, not {number}; ask for the number of one version", transient=False)
        files = {}
        for entry in reply["files"]:
            kind, _, digest = str(entry.get("checksum") or "").rpartition(":")
            # Very old records wrote the MD5 without saying that it is one.
            md5 = digest.lower() if kind in ("", "md5") and re.fullmatch(r"[0-9a-fA-F]{32}", digest) else None
            name = str(entry["key"])
            files[name] = RecordFile(name, int(entry["size"]), md5, f"/records/{number}/files/{quote(name)}")
        return files
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadReply(f"no description of Zenodo record {number} ({type(error).__name__}: {error})") from error
