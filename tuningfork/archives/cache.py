"""The content-addressed cache: ``<root>/<aa>/<key><suffix>`` and beside each file its sidecar, ``<key><suffix>.json``.

Safe for several processes and nodes on a shared file system without `flock`: a lock is a file linked into place, a download in progress
is a directory with its owner's name, and a finished file is renamed. Nothing here talks to a network.
"""

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuningfork.errors import ArchiveError
from tuningfork.files import read_json, sha256_of, write_json

log = logging.getLogger(__name__)

# A lock or a part whose owner cannot be asked (another node) and that has not moved for this long belongs to nobody. Longer than the longest
# pause between retries.
STALE_S = 900.0


@dataclasses.dataclass(frozen=True)
class Entry:
    """The place of one reply: its file, its sidecar and its lock."""

    path: Path

    @property
    def sidecar(self) -> Path:
        """JSON with the origin, size and SHA-256 of the file."""
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def lock(self) -> Path:
        """Exists while somebody downloads the file."""
        return self.path.with_name(f".{self.path.name}.lock")

    def read(self, *, verify: bool = False) -> dict[str, Any] | None:
        """The sidecar, if the file is whole: of the recorded size and, with `verify`, of the recorded SHA-256. Else None."""
        try:
            sidecar = read_json(self.sidecar)
            found = self.path.stat()
        except (OSError, json.JSONDecodeError):
            return None
        problem = _problem(self.path, sidecar, found, verify=verify)
        if problem:
            log.warning("%s: %s; it will be fetched again", self.path, problem)
            return None
        return sidecar

    def publish(self, body: Path, sidecar: dict[str, Any]) -> None:
        """Give a whole, synced body its name, and write its sidecar."""
        self.sidecar.unlink(missing_ok=True)
        body.replace(self.path)
        write_json(self.sidecar, sidecar)

    def adopt(self, mirrored: Path, sidecar: dict[str, Any]) -> None:
        """Point at a file that lies elsewhere on this machine, instead of copying gigabytes."""
        link = self.path.with_name(f".{self.path.name}.{_owner()}.link")
        link.symlink_to(mirrored.resolve())
        self.sidecar.unlink(missing_ok=True)
        link.replace(self.path)
        write_json(self.sidecar, {**sidecar, "mtime_ns": mirrored.stat().st_mtime_ns})


class Cache:
    """Finished replies under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def entry(self, key: str, suffix: str) -> Entry:
        """The place for a key; its directory is made."""
        folder = self.root / key[:2]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArchiveError(f"the cache {self.root} cannot be written ({error}); it must be a folder of yours") from error
        return Entry(folder / f"{key}{suffix}")


def verify(root: Path) -> Iterator[tuple[Path, str]]:
    """Every cached file under `root` that is not what its sidecar says, with the reason; reads and hashes everything."""
    for sidecar in sorted(Path(root).glob("[0-9a-f][0-9a-f]/[!.]*.json")):
        path = sidecar.with_suffix("")
        try:
            problem = _problem(path, read_json(sidecar), path.stat(), verify=True)
        except OSError:
            problem = "it is gone, its sidecar is not"
        except json.JSONDecodeError:
            problem = "its sidecar is not JSON"
        if problem:
            yield path, problem


def _problem(path: Path, sidecar: dict[str, Any], found: os.stat_result, *, verify: bool) -> str | None:
    if found.st_size != sidecar.get("bytes"):
        return f"{found.st_size} bytes where its sidecar says {sidecar.get('bytes')}"
    if sidecar.get("mtime_ns", found.st_mtime_ns) != found.st_mtime_ns:
        return "the mirror's file has changed"
    if verify and sha256_of(path) != sidecar.get("sha256"):
        return "its SHA-256 is not that of its sidecar"
    return None


@contextlib.contextmanager
def locked(entry: Entry, *, poll_s: float = 0.1) -> Iterator[None]:
    """Hold the entry's lock, waiting for whoever has it; a dead owner's lock is taken over.

    Should two ever hold it at once (a clock off by minutes on another node), they only do the work twice: bodies have one writer each.
    """
    owner = _owner()
    mine = entry.lock.with_name(f"{entry.lock.name}.{owner}")
    mine.write_text(owner, encoding="utf-8")
    try:
        while not _link(mine, entry.lock):
            if not _break_stale(entry.lock, mine):
                time.sleep(poll_s)
        try:
            yield
        finally:
            if _content(entry.lock) == owner:
                entry.lock.unlink(missing_ok=True)
    finally:
        mine.unlink(missing_ok=True)


@dataclasses.dataclass
class Part:
    """A download in progress: ``body`` and what is known of it (``head.json``), in a directory of its owner's.

    `validator` is the ETag or Last-Modified that the server gave for the body, `total` its full length; both None when unknown, and then
    the body cannot be resumed.
    """

    folder: Path
    lock: Path
    validator: str | None = None
    total: int | None = None

    @property
    def body(self) -> Path:
        """The bytes so far."""
        return self.folder / "body"

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self.body.stat().st_size if self.body.exists() else 0

    def begin(self, validator: str | None, total: int | None) -> None:
        """Forget any bytes and start a body with this validator and length."""
        self.body.write_bytes(b"")
        self.validator, self.total = validator, total
        write_json(self.folder / "head.json", {"validator": validator, "total": total})

    def keep_alive(self) -> None:
        """Tell other nodes that this download goes on."""
        with contextlib.suppress(OSError):
            os.utime(self.folder)
            os.utime(self.lock)

    def discard(self) -> None:
        """Forget any bytes."""
        self.body.unlink(missing_ok=True)
        self.validator = self.total = None


@contextlib.contextmanager
def part_of(entry: Entry, *, resume: bool) -> Iterator[Part]:
    """The entry's unfinished download, its own directory for the time of the block.

    With `resume`, the bytes of an earlier attempt (of a process that ended, or was killed) are found in it, and what there is when the block
    ends unfinished is left for the next. Without, it begins and ends empty.
    """
    name = entry.path.name
    folder = entry.path.with_name(f".{name}.{_owner()}.part")
    idle = entry.path.with_name(f".{name}.part")
    orphans = [p for p in entry.path.parent.glob(f".{name}.*.part") if not _alive(p, p.name.removeprefix(f".{name}."))]
    for leftover in [idle, *orphans]:
        with contextlib.suppress(OSError):
            if resume and not folder.exists():
                leftover.rename(folder)
            else:
                shutil.rmtree(leftover)
    folder.mkdir(exist_ok=True)
    part = Part(folder, entry.lock)
    with contextlib.suppress(OSError, json.JSONDecodeError, AttributeError):
        head = read_json(folder / "head.json")
        part.validator, part.total = head.get("validator"), head.get("total")
    try:
        yield part
    finally:
        if resume and part.size and part.validator:
            with contextlib.suppress(OSError):
                folder.rename(idle)
        shutil.rmtree(folder, ignore_errors=True)


def machine() -> str:
    """A name for what shares process ids with this process: the host, and on Linux its namespace (two containers may have one host name)."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def _owner() -> str:
    return f"{machine()}~{os.getpid()}~{uuid.uuid4().hex[:8]}"


def _alive(path: Path, owner: str) -> bool:
    """Whether the owner written as host~pid~... still runs; asked of the clock if it is on another machine."""
    host, _, rest = owner.partition("~")
    pid = rest.partition("~")[0]
    if host == machine() and pid.isdigit():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True
    try:
        newest = max(p.stat().st_mtime for p in [path, *(path.iterdir() if path.is_dir() else ())])
    except (OSError, ValueError):
        return False
    return time.time() - newest < STALE_S


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError:
        # No hard links on this file system: an exclusive create is as exclusive, only its content comes a moment later.
        try:
            with open(target, "x", encoding="utf-8") as file:
                file.write(source.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True


def _break_stale(lock: Path, mine: Path) -> bool:
    owner = _content(lock)
    if owner is None:
        return True
    if _alive(lock, owner):
        return False
    grave = mine.with_name(f"{mine.name}.grave")
    try:
        lock.rename(grave)
    except FileNotFoundError:
        return True
    if _content(grave) != owner:
        # Another process took the stale lock over between our look and our rename: give its lock back.
        _link(grave, lock)
    grave.unlink(missing_ok=True)
    return True


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
