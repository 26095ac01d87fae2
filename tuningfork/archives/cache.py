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
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tuningfork.archives.leases import alive, break_stale, claim, content, new_owner
from tuningfork.errors import ArchiveError
from tuningfork.files import read_json, sha256_of, write_json

log = logging.getLogger(__name__)

ABSENT = "absent"
"""Folder of a cache with the answers "there is no such file": for mirrors, never for answering a later run, since the file may come yet."""


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
        """Give a whole body its name once its bytes are on the disk, and write its sidecar."""
        with open(body, "rb") as file:
            os.fsync(file.fileno())
        self.sidecar.unlink(missing_ok=True)
        body.replace(self.path)
        write_json(self.sidecar, sidecar)

    def adopt(self, mirrored: Path, sidecar: dict[str, Any]) -> None:
        """Point at a file that lies elsewhere on this machine, instead of copying gigabytes."""
        link = self.path.with_name(f".{self.path.name}.{new_owner()}.link")
        link.symlink_to(mirrored.resolve())
        self.sidecar.unlink(missing_ok=True)
        link.replace(self.path)
        write_json(self.sidecar, {**sidecar, "mtime_ns": mirrored.stat().st_mtime_ns})


class Cache:
    """Finished replies under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._made: set[Path] = set()

    def note_absent(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer "there is no such file" for a mirror."""
        write_json(self.root / ABSENT / key[:2] / f"{key}.json", answer)

    def entry(self, key: str, suffix: str) -> Entry:
        """The place for a key; its directory is made."""
        folder = self.root / key[:2]
        if folder not in self._made:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ArchiveError(f"the cache {self.root} cannot be written ({error}); it must be a folder of yours") from error
            self._made.add(folder)
        return Entry(folder / f"{key}{suffix}")


def sidecars(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every cached file under `root` that has its size, and its sidecar, in the order of their keys."""
    for path in _files(root):
        entry = Entry(path)
        if (sidecar := entry.read()) is not None:
            yield path, sidecar


def verify(root: Path) -> Iterator[tuple[Path, str]]:
    """Every cached file under `root` that is not what its sidecar says, with the reason; reads and hashes everything."""
    for path in _files(root):
        try:
            problem = _problem(path, read_json(Entry(path).sidecar), path.stat(), verify=True)
        except OSError:
            problem = "it is gone, its sidecar is not"
        except json.JSONDecodeError:
            problem = "its sidecar is not JSON"
        if problem:
            yield path, problem


def _files(root: Path) -> Iterator[Path]:
    # A reply may itself be called *.json: its sidecar is then *.json.json, and it is no sidecar of anything.
    for folder in sorted(Path(root).glob("[0-9a-f][0-9a-f]")):
        found = {name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")}
        yield from (folder / name.removesuffix(".json") for name in sorted(found) if f"{name}.json" not in found)


def _problem(path: Path, sidecar: dict[str, Any], found: os.stat_result, *, verify: bool) -> str | None:
    if found.st_size != sidecar.get("bytes"):
        return f"{found.st_size} bytes where its sidecar says {sidecar.get('bytes')}"
    if sidecar.get("mtime_ns", found.st_mtime_ns) != found.st_mtime_ns:
        return "the mirror's file has changed"
    if verify and sha256_of(path) != sidecar.get("sha256"):
        return "its SHA-256 is not that of its sidecar"
    return None


@contextlib.contextmanager
def locked(entry: Entry, *, poll_s: float = 0.1, pause: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold the entry's lock, waiting (by `pause`, which may raise to end the wait) for whoever has it; a dead owner's lock is taken over.

    Should two ever hold it at once (a clock off by minutes on another node), they only do the work twice: bodies have one writer each.
    """
    owner = new_owner()
    mine = entry.lock.with_name(f"{entry.lock.name}.{owner}")
    mine.write_text(owner, encoding="utf-8")
    try:
        while not claim(mine, entry.lock):
            if not break_stale(entry.lock, mine):
                pause(poll_s)
        try:
            yield
        finally:
            if content(entry.lock) == owner:
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
    resume: bool = False
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
        if self.resume:
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
    folder = entry.path.with_name(f".{name}.{new_owner()}.part")
    idle = entry.path.with_name(f".{name}.part")
    parts = [p for p in os.listdir(entry.path.parent) if p.startswith(f".{name}.") and p.endswith(".part") and p != idle.name]
    orphans = [path for p in parts if not alive(path := entry.path.with_name(p), p.removeprefix(f".{name}."))]
    for leftover in [idle, *orphans]:
        with contextlib.suppress(OSError):
            if resume and not folder.exists():
                leftover.rename(folder)
            else:
                shutil.rmtree(leftover)
    folder.mkdir(exist_ok=True)
    part = Part(folder, entry.lock, resume)
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
