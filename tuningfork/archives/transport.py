"""The one door to the archives: polite, retried, checked, cached.

A `Transport` belongs to one realm, ``live`` or ``simulated-<key>``; in a simulated realm it reaches nothing but the given endpoints. What a
reply means is its caller's business (`vizier`, `mast`); how its bytes move is in `download`, where they lie in `cache`.
"""

import concurrent.futures
import dataclasses
import functools
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import requests

from tuningfork.archives.cache import Cache, Entry, Part, locked, part_of
from tuningfork.archives.checks import BadReply, check_realm
from tuningfork.archives.download import Answer, Transient, exchange, make_session, receive, user_agent
from tuningfork.archives.mirror import Mirror
from tuningfork.archives.rate import RateLimit
from tuningfork.archives.realm import Realm, on_loopback
from tuningfork.archives.request import ARCHIVES, DEFAULT_MAX_BYTES, Archive, Check, Fetched, Request, make_sidecar, url_of
from tuningfork.archives.retry import persist
from tuningfork.errors import ArchiveError, NotInArchive, TuningforkError

log = logging.getLogger(__name__)

# After this many requests in a row failed with all their retries, an archive is taken to be down: each further one is tried once.
DOWN_AFTER = 3

T = TypeVar("T")


class Transport:
    """Fetches from archives into a cache; use it as a context manager.

    Parameters
    ----------
    realm
        ``live``, or ``simulated-<key of the sky>``. It is part of every cache key.
    endpoints
        Archive name -> base URL that replaces the archive's own. In a simulated realm only these are reached, and they must be on loopback.
    cache
        Folder of the cache, shared by all jobs of a workflow.
    contact
        E-mail address or URL that the archives see in the User-Agent.
    mirror
        Folder with a local copy of archives (live realm only): ``<mirror>/<host>/<path>`` or ``<mirror>/<archive name>/<path>``. A file
        found there is checked, linked into the cache and never requested; what is not there is asked of the archive.
    archives
        The archives by name.
    attempts
        Tries for one request and host before it fails.
    backoff_s
        Mean of the first pause between tries, in seconds; each further one doubles.
    longest_pause_s
        Cap of a pause, also of one that the archive asked for with Retry-After, in seconds.
    verify
        Also compare the SHA-256 of every cached file with its sidecar before giving it out (its size is always compared).

    Raises
    ------
    ArchiveError
        The realm is no realm, an endpoint of a simulated realm is not on loopback, or a mirror stands in one.

    Notes
    -----
    That an archive has no such file (404) is remembered by this object only, not on disk: what an archive lacks today may be there
    tomorrow, and the record that a filter is absent belongs to the product that the workflow keeps.
    """

    def __init__(
        self,
        *,
        realm: str,
        cache: Path,
        endpoints: Mapping[str, str] | None = None,
        contact: str | None = None,
        mirror: Path | None = None,
        archives: Mapping[str, Archive] = ARCHIVES,
        attempts: int = 5,
        backoff_s: float = 1.0,
        longest_pause_s: float = 300.0,
        verify: bool = False,
    ) -> None:
        self._realm = Realm(realm, dict(archives), dict(endpoints or {}))
        if self._realm.simulated and mirror is not None:
            raise ArchiveError("a mirror holds real data and cannot serve the simulated sky; remove the mirror, or set archives.mode to live")
        self.verify = verify
        self._mirror = Mirror(Path(mirror) if mirror is not None else None)
        self.attempts, self.backoff_s, self.longest_pause_s = attempts, backoff_s, longest_pause_s
        self.cache = Cache(Path(cache))
        self.client = user_agent(contact)
        self._sessions = {loopback: make_session(self.client, loopback=loopback) for loopback in (False, True)}
        self._slots = {name: threading.BoundedSemaphore(archive.connections) for name, archive in archives.items()}
        self._absent: dict[str, str] = {}
        self._failures: dict[str, int] = {}

    @property
    def realm(self) -> str:
        """``live``, or ``simulated-<key>``."""
        return self._realm.name

    def __enter__(self) -> "Transport":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            session.close()

    def fetch(
        self,
        archive: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        method: str = "GET",
        check: Check | None = None,
        resume: bool = False,
        max_bytes: int = DEFAULT_MAX_BYTES,
        progress: bool | None = None,
        refresh: bool = False,
    ) -> Fetched:
        """One reply, from the cache or the archive.

        Parameters
        ----------
        archive
            Name of the archive: ``vizier``, ``mast``, ``github``; or ``web``, whose path is a whole https URL.
        path
            Absolute path on it.
        params
            Query parameters (GET) or form fields (POST); see `request.canonical_pairs`.
        method
            GET or POST.
        check
            Called with the path of the whole body before it is accepted. If it raises a transient `BadReply` the request is retried; any
            other error of this library is final. Replies of the wrong realm are always refused (`checks.check_realm`).
        resume
            Go on with an interrupted body by a Range request, if the archive gave it a validator; for static files.
        max_bytes
            Refuse longer bodies.
        progress
            Force (True) or silence (False) the progress bar; None shows it for bodies of 8 MiB or more.
        refresh
            Ask the archive even if the cache has the reply.

        Raises
        ------
        NotInArchive
            HTTP 404 or 410.
        ArchiveError
            Anything else that prevented it; the message names the archive, the URL and what to do.
        """
        return self.fetch_request(Request(archive, path, params, method, check, resume, max_bytes, progress, refresh))

    def fetch_many(self, asked: Sequence[Request], *, progress: bool | None = False) -> list[Fetched | TuningforkError]:
        """Several replies, as many at once as their archives bear, in the order asked.

        Parameters
        ----------
        asked
            The requests; equal ones are fetched once.
        progress
            Replaces each request's own `progress`; bars of several downloads would overwrite each other.

        Returns
        -------
        list
            For each request its `Fetched`, or the error of this library that it met: one failure does not spoil the rest.
        """
        connections = sum(self._realm.archives[name].connections for name in {r.archive for r in asked} if name in self._realm.archives)

        def one(request: Request) -> Fetched | TuningforkError:
            try:
                return self.fetch_request(dataclasses.replace(request, progress=progress))
            except TuningforkError as error:
                return error

        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, connections)) as pool:
            try:
                return list(pool.map(one, asked))
            except BaseException:
                # An interrupt ends what runs, and does not begin what waits.
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def fetch_request(self, request: Request) -> Fetched:
        """One reply, as `fetch`."""
        archive = self._realm.archive(request.archive)
        key = request.key(self.realm)
        entry = self.cache.entry(key, request.suffix)
        if (found := self._cached(entry, request)) is not None:
            return found
        with locked(entry):
            if (found := self._cached(entry, request)) is not None:
                return found
            if (mirrored := self._mirror.find(archive, request)) is not None:
                return self._adopt(entry, request, mirrored)
            if not request.refresh and key in self._absent:
                raise NotInArchive(self._absent[key])
            with self._slots[archive.name], part_of(entry, resume=request.resume) as part:
                try:
                    return self._download(archive, request, entry, part)
                except NotInArchive as error:
                    self._absent[key] = str(error)
                    raise

    def head(self, archive: str, path: str) -> dict[str, str]:
        """Headers of a file (names in lower case), by a HEAD request: its length and date without its bytes. Never cached.

        Raises
        ------
        NotInArchive, ArchiveError
            As `fetch`.
        """
        request = Request(archive, path)
        place = self._realm.archive(archive)

        def ask(url: str) -> dict[str, str]:
            with exchange(self._session(url), place, "HEAD", url, pairs=[], headers={}) as response:
                return {name.lower(): value for name, value in response.headers.items()}

        with self._slots[archive]:
            return self._retrying(place, request, ask, gained=lambda: 0)

    def _download(self, archive: Archive, request: Request, entry: Entry, part: Part) -> Fetched:
        most = [part.size]

        def gained() -> int:
            gain, most[0] = part.size - most[0], max(most[0], part.size)
            return gain

        def ask(url: str) -> Answer:
            answer = receive(self._session(url), archive, request, url, part)
            try:
                if request.check is not None:
                    request.check(part.body)
                check_realm(part.body, self.realm)
            except BadReply as error:
                part.discard()
                if error.transient:
                    raise Transient(str(error)) from error
                raise ArchiveError(f"{archive.name}: {answer.url}: {error}") from error
            except TuningforkError:
                part.discard()
                raise
            return answer

        answer = self._retrying(archive, request, ask, gained)
        sidecar = make_sidecar(request, part.body, realm=self.realm, client=self.client, url=answer.url, status=answer.status, headers=answer.headers)
        entry.publish(part.body, sidecar)
        log.debug("%s: %d bytes from %s", entry.path.name, sidecar["bytes"], answer.url)
        return Fetched(entry.path, sidecar, from_cache=False)

    def _retrying(self, archive: Archive, request: Request, ask: Callable[[str], T], gained: Callable[[], int]) -> T:
        """`ask` each host of the archive in turn, each until it answers or it is enough."""
        attempts = self.attempts if self._failures.get(archive.name, 0) < DOWN_AFTER else 1
        faults: dict[str, Transient] = {}
        for base in self._realm.base_urls(archive.name):
            url = url_of(base, request)
            try:
                value = persist(
                    functools.partial(self._ask_in_turn, archive, url, ask),
                    what=url,
                    attempts=attempts,
                    backoff_s=self.backoff_s,
                    longest_pause_s=self.longest_pause_s,
                    gained=gained,
                )
            except Transient as fault:
                faults[url] = fault
                continue
            except NotInArchive:
                self._failures[archive.name] = 0
                raise
            self._failures[archive.name] = 0
            return value
        self._failures[archive.name] = self._failures.get(archive.name, 0) + 1
        told = "; nor ".join(f"{url}: {fault}" for url, fault in faults.items())
        raise ArchiveError(
            f"archive {archive.name!r} did not give {told}. Run again later (what is already here is kept), or check that this machine reaches that host."
        ) from next(iter(faults.values()))

    def _ask_in_turn(self, archive: Archive, url: str, ask: Callable[[str], T]) -> T:
        if not on_loopback(url):
            RateLimit(self.cache.root / ".rate" / archive.name, archive.requests_per_second).wait()
        return ask(url)

    def _cached(self, entry: Entry, request: Request) -> Fetched | None:
        sidecar = None if request.refresh else entry.read(verify=self.verify)
        return Fetched(entry.path, sidecar, from_cache=True) if sidecar is not None else None

    def _adopt(self, entry: Entry, request: Request, mirrored: Path) -> Fetched:
        try:
            if request.check is not None:
                request.check(mirrored)
            check_realm(mirrored, self.realm)
        except BadReply as error:
            raise ArchiveError(f"{mirrored} (of the mirror): {error}. Copy it again, or remove it to have it fetched.") from error
        sidecar = make_sidecar(request, mirrored, realm=self.realm, client=self.client, url=mirrored.resolve().as_uri())
        entry.adopt(mirrored, sidecar)
        return Fetched(entry.path, sidecar, from_cache=False)

    def _session(self, url: str) -> requests.Session:
        return self._sessions[on_loopback(url)]
