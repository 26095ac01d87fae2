"""A local copy of archives, for machines without internet: laid out as each archive's own tree, and made from a cache.

- A file is at ``<root>/<host>/<path>``, as ``wget --mirror`` leaves it, or at ``<root>/<archive name>/<path>``.
- A reply to a request with parameters (a cutout, a query) has no name in the archive's tree. It is at
  ``<root>/<host>/<path>.replies/<aa>/<digest><suffix>``: `digest` is the SHA-256 of ``[method, query in the path, [[name, value], ...]]`` as
  JSON without spaces, the pairs in canonical form (`request.canonical_pairs`); `aa` its first two digits; `suffix` that of the path.
  So is a file whose name is a folder of another one.
- Beside each file that `export` wrote is ``<name>.origin.json``: where and when it came from, its size and SHA-256, its request.
- ``<name>.absent.json`` in place of a file says that the archive has none, and in which words it said so.
"""

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tuningfork import errors
from tuningfork.archives.cache import ABSENT, sidecars
from tuningfork.archives.request import ARCHIVES, Archive, Request, url_of
from tuningfork.errors import ArchiveError, NotInArchive
from tuningfork.files import atomic_path, digest_of, read_json, sha256_of, write_json

log = logging.getLogger(__name__)

ORIGIN = ".origin.json"
NONE_HERE = ".absent.json"


class Mirror:
    """The copy under `root`; empty without a root."""

    def __init__(self, root: Path | None) -> None:
        self.root = root

    def find(self, archive: Archive, request: Request) -> Path | None:
        """The copy of what is requested, if there is one.

        Raises
        ------
        NotInArchive
            The mirror knows that the archive has no such thing.
        """
        if self.root is None:
            return None
        for place in places(archive, request):
            path = self.root / place
            if os.path.isfile(path):
                return path
            if os.path.isfile(note := _beside(path, NONE_HERE)):
                raise absent_error(read_json(note), f" ({note} of the mirror says so)")
        return None


def places(archive: Archive, request: Request) -> Iterator[Path]:
    """Where a mirror may have a request's reply, relative to its root; the first is where `export` puts it."""
    parts = urlsplit(url_of(archive.base_url, request))
    path = parts.path.strip("/")
    hosts = list(dict.fromkeys(name for name in (parts.hostname or "", archive.name) if name))
    if path and not (request.pairs or parts.query or request.method != "GET" or parts.path.endswith("/")):
        yield from (Path(host, path) for host in hosts)
    digest = digest_of([request.method, parts.query, request.pairs])
    yield from (Path(host, f"{path}.replies", digest[:2], f"{digest}{request.suffix}") for host in hosts)


def origin_of_copy(path: Path) -> dict[str, Any] | None:
    """What stands beside a file of a mirror: the sidecar that it had in the cache from which it was exported.

    Raises
    ------
    ArchiveError
        The file is not the one that it describes.
    """
    note = _beside(path, ORIGIN)
    try:
        origin: dict[str, Any] = read_json(note)
    except FileNotFoundError:
        return None
    except (OSError, json.JSONDecodeError) as error:
        raise ArchiveError(f"{note} (of the mirror) cannot be read ({error}); copy it again, or remove it") from error
    if path.stat().st_size != origin.get("bytes") or sha256_of(path) != origin.get("sha256"):
        raise ArchiveError(f"{path} (of the mirror) is not the file that {note.name} beside it describes. Copy both again, or remove them to have it fetched.")
    return origin


@dataclasses.dataclass
class Exported:
    """What `export` did: files linked, copied, and there before; answers that there is no such file; bytes of all files."""

    linked: int = 0
    copied: int = 0
    kept: int = 0
    absent: int = 0
    bytes: int = 0


def export(cache: Path, mirror: Path, realm: str = "live", *, archives: Mapping[str, Archive] = ARCHIVES) -> Exported:
    """Lay out all that a cache holds of one realm as a mirror; files are hard links where both lie on one file system, else copies.

    Parameters
    ----------
    cache
        The cache; it is only read.
    mirror
        The mirror's root; what it has already stays, and is not compared again if its size and recorded SHA-256 agree.
    realm
        Replies of other realms are left out. A mirror is read in the live realm only.
    archives
        The archives by name; a reply of an archive that is not among them is under its name instead of its host.

    Raises
    ------
    ArchiveError
        A file of the cache is not what its sidecar says, or the mirror cannot be written.
    """
    counts = Exported()
    for path, sidecar in sidecars(Path(cache)):
        if sidecar.get("realm") == realm:
            _lay_out(path, sidecar, Path(mirror), archives, counts)
    for note in sorted((Path(cache) / ABSENT).glob("[0-9a-f][0-9a-f]/*.json")):
        answer = read_json(note)
        if answer.get("realm") == realm:
            _note_absent(answer, Path(mirror), archives, counts)
    log.info("%s: %d files (%.1f MB), %d linked, %d copied, %d there before; %d answers that there is none", mirror, *_totals(counts))
    return counts


def absent_error(answer: Mapping[str, Any], added: str = "") -> NotInArchive:
    """The error that a recorded answer "there is none" stands for."""
    kind = getattr(errors, str(answer.get("error")), NotInArchive)
    kind = kind if isinstance(kind, type) and issubclass(kind, NotInArchive) else NotInArchive
    return kind(f"{answer.get('message', 'the archive has none')}{added}")


def _lay_out(path: Path, sidecar: dict[str, Any], mirror: Path, archives: Mapping[str, Archive], counts: Exported) -> None:
    target = _target(sidecar, mirror, archives)
    counts.bytes += sidecar["bytes"]
    origin = {name: value for name, value in sidecar.items() if name not in ("mtime_ns", "mirror")}
    note = _beside(target, ORIGIN)
    if os.path.isfile(target) and target.stat().st_size == sidecar["bytes"] and note.is_file() and read_json(note).get("sha256") == sidecar["sha256"]:
        counts.kept += 1
        return
    source = path.resolve()
    if sha256_of(source) != sidecar["sha256"]:
        raise ArchiveError(f"{path} is not what its sidecar says; remove both, and run again what fetched it")
    try:
        target.unlink(missing_ok=True)
        with atomic_path(target) as part:
            linked = _link(source, part)
        write_json(note, origin)
        _beside(target, NONE_HERE).unlink(missing_ok=True)
    except OSError as error:
        raise ArchiveError(f"{target} (of the mirror) cannot be written: {error}") from error
    counts.linked += linked
    counts.copied += not linked


def _note_absent(answer: dict[str, Any], mirror: Path, archives: Mapping[str, Archive], counts: Exported) -> None:
    target = _target(answer, mirror, archives)
    if not os.path.isfile(target):
        write_json(_beside(target, NONE_HERE), answer)
        counts.absent += 1


def _target(sidecar: Mapping[str, Any], mirror: Path, archives: Mapping[str, Archive]) -> Path:
    """The first place whose folders can be made and whose name is no folder."""
    params: dict[str, list[str]] = {}
    for name, value in sidecar["params"]:
        params.setdefault(name, []).append(value)
    request = Request(sidecar["archive"], sidecar["path"], params, sidecar["method"])
    archive = archives.get(sidecar["archive"], Archive(sidecar["archive"], ""))
    for place in places(archive, request):
        target = mirror / place
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            continue
        except OSError as error:
            raise ArchiveError(f"{target} (of the mirror) cannot be written: {error}") from error
        if not target.is_dir():
            return target
    raise ArchiveError(f"{mirror}: no place for {sidecar['path']} of {sidecar['archive']}: its name and its folders are taken; begin with an empty folder")


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        return False
    return True


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}{ending}")


def _totals(counts: Exported) -> tuple[int, float, int, int, int, int]:
    return counts.linked + counts.copied + counts.kept, counts.bytes / 1e6, counts.linked, counts.copied, counts.kept, counts.absent
